import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { MachineFacts } from '../machine.js';
import type { RowResult } from '../rows/row.js';

export const RESULTS_FILE = 'results.json';

/** Everything that the bench found; what the JSON file holds. */
export interface Report {
  readonly machine: MachineFacts;
  /** Tiny sizes: the figures mean nothing. */
  readonly quick: boolean;
  readonly rows: readonly RowResult[];
  /** Rows that could not be measured, with the reason. */
  readonly failures: readonly { readonly id: string; readonly reason: string }[];
}

/** The rows of the report in `dir`, when it was made on the same machine and with sizes as serious; else none. */
export async function earlierRows(dir: string, { machine, quick }: Pick<Report, 'machine' | 'quick'>): Promise<readonly RowResult[]> {
  const text = await readFile(join(dir, RESULTS_FILE), 'utf8').catch(() => undefined);
  if (text === undefined) return [];
  const earlier = JSON.parse(text) as Report;
  return earlier.quick === quick && JSON.stringify(hardware(earlier.machine)) === JSON.stringify(hardware(machine)) ? earlier.rows : [];
}

/** Rows that were measured without peers stay valid when the peers are there. */
function hardware(machine: MachineFacts): Omit<MachineFacts, 'tools'> {
  const { tools: _tools, ...rest } = machine;
  return rest;
}
