import type { SerializedError } from '../errors.js';
import type { SealedPack } from '../pack/footer.js';
import type { SourceStat } from './source.js';

/**
 * A run of a file that is cut in one way. `generic` spans start at a chunk's start and are cut by the worker; `cuts` are
 * generic bytes whose chunk lengths are known already; `blocks` are cut every `TENSOR_BLOCK` from the span's start.
 */
export type Span =
  | { rule: 'generic'; start: number; end: number }
  | { rule: 'blocks'; start: number; end: number; float: boolean }
  | { rule: 'cuts'; start: number; lengths: Uint32Array };

interface UnitTask {
  /** Names the unit in the claim table. */
  unit: number;
  /** Lease that unfinished files are named for. */
  lease: string;
  /** Memory of the operation's `OperationControl`. */
  control: SharedArrayBuffer;
}

/** Many whole files. */
export interface StoreFilesTask extends UnitTask {
  type: 'store-files';
  paths: string[];
}

/** A run of one large file, by a descriptor that the main thread keeps open. */
export interface StoreSpansTask extends UnitTask {
  type: 'store-spans';
  path: string;
  fd: number;
  spans: Span[];
}

/** Chunks that another unit was to store and did not. */
export interface StoreBorrowedTask extends UnitTask {
  type: 'store-borrowed';
  sources: { path: string; fd?: number }[];
  /** Rows of `BORROWED_FIELDS`. */
  borrowed: Float64Array;
  /** Chunk rows of the unit that borrowed. */
  rows: Uint8Array;
}

/** A stream, from a chunk's start until it ends, stalls, or has filled a pack. */
export interface StoreStreamTask extends UnitTask {
  type: 'store-stream';
  ring: SharedArrayBuffer;
  port: import('node:worker_threads').MessagePort;
  /** What is left of the layout; the last span's end is Infinity. */
  spans: Span[];
}

/** Looks for triggers in (start, end] of a generic region that starts at `regionStart`. */
export interface ScanTask {
  type: 'scan';
  control: SharedArrayBuffer;
  path: string;
  fd: number;
  regionStart: number;
  start: number;
  end: number;
}

export interface ScanResult {
  /** Ascending, relative to the task's `start`. */
  triggers: Uint32Array;
  /** The task's `end`, or less where triggers are so dense that a result would grow too large. */
  scannedTo: number;
}

/** Row of `UnitResult.borrowed`: the unit that it was borrowed from, source, offset in it, index of the chunk's row. */
export const BORROWED_FIELDS = 4;

export interface UnitResult {
  /** Null when nothing in the unit was new. */
  pack: SealedPack | null;
  /** Chunk rows of all sources, one after another. */
  rows: Uint8Array;
  borrowed: Float64Array;
  logicalBytes: number;
  /** Logical bytes of the chunks in `pack`. */
  newBytes: number;
}

export interface StoreFilesResult extends UnitResult {
  /** Per source, in the order of the task. */
  files: FileOutcome[];
}

export type FileOutcome = { chunks: number; stat: SourceStat } | { error: SerializedError };

export interface StoreStreamResult extends UnitResult {
  /** Position behind the last chunk of the unit. */
  position: number;
  ended: boolean;
}

export type IngestTask = StoreFilesTask | StoreSpansTask | StoreBorrowedTask | StoreStreamTask | ScanTask;
