import type { MachineFacts } from '../machine.js';
import type { RowResult } from '../rows/row.js';

/** Everything that a run of the bench found; what the JSON file holds. */
export interface Report {
  readonly machine: MachineFacts;
  /** Of the run, as `2026-01-31`. */
  readonly date: string;
  readonly rounds: number;
  /** Tiny sizes: the figures mean nothing. */
  readonly quick: boolean;
  readonly rows: readonly RowResult[];
  /** Rows that could not be measured, with the reason. */
  readonly failures: readonly { readonly id: string; readonly reason: string }[];
}
