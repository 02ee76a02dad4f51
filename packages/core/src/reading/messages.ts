import type { Damage } from '../errors.js';
import type { SealedPack } from '../pack/footer.js';
import type { ObjectTable } from '../pack/object-table.js';
import type { PackId } from '../pack/pack-id.js';

interface ReadingTaskBase {
  /** Memory of the operation's `OperationControl`. */
  control: SharedArrayBuffer;
}

/** Per chunk of a read: number of the target, offset in it, and which bytes [from, to) of the chunk go there. */
export const PLACE_FIELDS = 4;

/** Chunks to be put into shared memory. */
export interface ReadTask extends ReadingTaskBase {
  type: 'read';
  verify: boolean;
  /** Chunk rows. */
  rows: Uint8Array;
  /** `PLACE_FIELDS` numbers per chunk. */
  places: Float64Array;
  /** Views on shared memory. */
  targets: Uint8Array[];
}

/** Whole files to be made. */
export interface RestoreFilesTask extends ReadingTaskBase {
  type: 'restore-files';
  verify: boolean;
  files: { path: string; executable: boolean; mtimeNs: bigint; chunks: number }[];
  /** Chunk rows of all files, one after another. */
  rows: Uint8Array;
}

/** A part of one file, to be written to a descriptor that the main thread keeps open. */
export interface RestorePartTask extends ReadingTaskBase {
  type: 'restore-part';
  verify: boolean;
  fd: number;
  path: string;
  position: number;
  rows: Uint8Array;
}

/** Numbers of the rows that are in no pack the index knows: what a handle has staged. */
export interface ReadResult {
  missing: number[];
}

export interface VerifyPackTask extends ReadingTaskBase {
  type: 'verify-pack';
  id: PackId;
}

export interface PackCheck {
  objects: number;
  /** Logical bytes of the objects that are whole. */
  bytes: number;
  damage: Damage[];
}

/** Objects that are to be copied into one new pack, in this order. */
export interface CopyTask extends ReadingTaskBase {
  type: 'copy-objects';
  /** Lease that the new pack belongs to. */
  lease: string;
  sources: { pack: PackId; rows: ObjectTable }[];
}

export interface CopyResult {
  /** Null when nothing could be copied. */
  pack: SealedPack | null;
  /** Packs with damage among what was to be copied. */
  damaged: PackId[];
}

export type ReadingTask = CopyTask | ReadTask | RestoreFilesTask | RestorePartTask | VerifyPackTask;
