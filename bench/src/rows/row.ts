import type { Context } from '../context.js';
import type { TargetId } from '../targets.js';

/** `of logical`: bytes kept per byte put in. `×`: how many times. */
export type Unit = 'ms' | 'MiB' | 'GB/s' | '×' | 'of logical';

/** Samples of one contestant, in rounds. */
export interface Measurement {
  readonly name: string;
  readonly ours: boolean;
  readonly samples: readonly number[];
  readonly command?: string;
}

/** Contestants that were measured side by side: one table and one plot. */
export interface Series {
  readonly title: string;
  readonly unit: Unit;
  /** Bytes that each run moves; gives the rate column of a series in ms. */
  readonly bytes?: number;
  readonly measurements: readonly Measurement[];
}

/** A figure that a reader would quote: a ratio to a named peer, or a value that performance targets speak of. */
export interface Finding {
  readonly label: string;
  readonly value: number;
  readonly unit: Unit;
  /** Least and greatest over the rounds. */
  readonly range?: readonly [number, number];
  readonly target?: TargetId;
}

export interface RowResult extends RowFindings, RowRun {}

/** When and how a row was measured. */
export interface RowRun {
  readonly id: string;
  readonly title: string;
  /** As `2026-01-31`. */
  readonly date: string;
  readonly rounds: number;
  /** Processes that wanted a core in the minute before: more than a few tenths, and somebody else was at work. */
  readonly loadBefore: number;
}

/** What a row has to tell. */
export interface RowFindings {
  /** What was stored or read, without paths. */
  readonly dataset: string;
  /** What is timed, from where to where, in which state of the machine. */
  readonly method: string;
  readonly series: readonly Series[];
  readonly findings: readonly Finding[];
  /** Peers and data that could not be had, and how to get them. */
  readonly missing: readonly string[];
}

/** One family of measurements; `bench --rows` picks by id. */
export interface Row {
  readonly id: string;
  readonly title: string;
  measure(context: Context): Promise<RowFindings>;
}
