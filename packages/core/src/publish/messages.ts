import type { DiskSpec } from '../disk/disk.js';
import type { Compression } from '../encoding/encoding.js';
import type { SerializedError } from '../errors.js';
import type { HashChoice } from '../hash/blake3.js';
import type { Digest } from '../hash/digest.js';
import type { IndexIdentity } from '../index/environment.js';
import type { VolumeId, VolumeRecord } from '../index/records.js';
import type { SealedPack } from '../pack/footer.js';
import type { RefChange } from '../refs/ref-table.js';
import type { SnapshotRecord } from '../snapshot/record.js';
import type { StagedObject } from '../objects/staging.js';
import type { CondemnInput, CondemnOutcome, MoveInput, RetireInput } from './collect.js';
import type { DoomInput, SweepOutcome } from './reclaim.js';
import type { ObjectBundle } from './object-bundle.js';

/** What the publishing thread is started with: plain data. */
export interface PublishConfig {
  /** The store's directory. */
  dir: string;
  disk: DiskSpec;
  hash: HashChoice;
  compression: Compression;
  /** Upper bound of the bytes of all packs; undefined: none. */
  maxBytes?: number | undefined;
  /** The index that the engine reads from. */
  index?: IndexIdentity | undefined;
}

export interface CommitRequest {
  volumeId: VolumeId;
  /** For the error message when the volume is gone. */
  volumeName?: string | undefined;
  /** What the changes were made on. */
  base: { generation: number; root: Digest | null };
  /** The tree with the changes in it. */
  ours: Digest | null;
  message: string;
  metadata: SnapshotRecord['metadata'];
  createdAtMs: number;
  /** For the record: bytes in chunks that the store did not have before these changes. */
  newBytes: number;
  /** Makes a snapshot even over an unchanged tree: a message or metadata was given. */
  keepUnchanged: boolean;
  /**
   * What happens to a path that both sides changed: ours wins, or nothing is published and the paths come back.
   * `report` is `fail` for callers that then merge themselves and ask again with a newer base.
   */
  policy: 'last-write-wins' | 'fail' | 'report';
  /** A file against a folder is a conflict whatever the policy. */
  refuseFileOverFolder: boolean;
  /** Chunks and nodes of `ours` that are in no pack, and nothing else. The bytes are copied. */
  objects: StagedObject[];
}

/** A request as the thread gets it: its objects come bundled. */
export interface CommitOrder extends Omit<CommitRequest, 'objects'> {
  /** Of the engine's lease: what was condemned later may be among what the changes refer to. Null: nobody knows. */
  pendingEpoch: number | null;
}

/** A volume's newest snapshot; generation 0 without a snapshot before the first commit. */
export interface HeadInfo {
  generation: number;
  root: Digest | null;
  snapshot: Digest | null;
}

export type CommitOutcome =
  | {
      status: 'committed';
      snapshot: Digest;
      record: SnapshotRecord;
      /** Paths whose version by another commit was replaced by ours. */
      overwritten: string[];
      /** Size of the pack that the commit wrote. */
      storedBytes: number;
      /** Nodes of the new tree that a merge made: the caller looks at them next, and need not read them back. */
      mergedNodes: Uint8Array[];
    }
  /** The head has this tree already. */
  | { status: 'unchanged'; head: HeadInfo; overwritten: string[] }
  | { status: 'conflict'; paths: string[]; head: HeadInfo };

/** A change of refs other than a commit. */
export type VolumeChange =
  | Exclude<RefChange, { type: 'head' | 'volume-created' | 'restored' }>
  /** `ephemeral`: the volume belongs to this engine, and goes when it is closed or dead. */
  | (Omit<Extract<RefChange, { type: 'volume-created' }>, 'ephemeralOwner'> & { ephemeral?: boolean });

export interface ChangeChecks {
  /** A tag may move. */
  force?: boolean;
  /** Deleting what is not there is no error. */
  allowMissing?: boolean;
  /** Creating what is there is no error. */
  allowExisting?: boolean;
  /** How the volume (of a fork: the source) is called in errors; its id else. */
  label?: string | undefined;
}

export interface ChangeOutcome {
  /** The volume afterwards; undefined once it is deleted, or was not there. */
  volume: VolumeRecord | undefined;
  /** What was written; null: everything was as wanted. A prune lists what it really removed. */
  applied: RefChange | null;
}

/** Everything that the thread can be asked for, with what it answers. */
export interface PublishCalls {
  catchUp: { input: undefined; output: void };
  publish: { input: SealedPack[]; output: void };
  writeObjects: { input: { objects: ObjectBundle; pendingEpoch: number | null; mayLack?: boolean }; output: { storedBytes: number } };
  retain: { input: { roots: Digest[]; pendingEpoch: number | null }; output: void };
  change: { input: { change: VolumeChange; checks: ChangeChecks }; output: ChangeOutcome };
  commit: { input: { order: CommitOrder; objects: ObjectBundle }; output: CommitOutcome };
  prepareCollection: { input: undefined; output: void };
  claimCollection: { input: { first: boolean }; output: boolean };
  releaseCollection: { input: undefined; output: void };
  retire: { input: RetireInput; output: boolean };
  moveCopies: { input: MoveInput; output: boolean };
  condemn: { input: CondemnInput; output: CondemnOutcome };
  doom: { input: DoomInput; output: number };
  sweep: { input: number; output: SweepOutcome };
  close: { input: undefined; output: void };
}

export type PublishCall = keyof PublishCalls;

export interface PublishMessage<C extends PublishCall = PublishCall> {
  id: number;
  call: C;
  input: PublishCalls[C]['input'];
}

export type PublishReply = { id: number; output: PublishCalls[PublishCall]['output'] } | { id: number; error: SerializedError };

export interface PublishThreadData {
  config: PublishConfig;
  /** Id of the engine's lease. */
  lease: string;
  /** Memory of the thread's `TransactionGate`. */
  gate: SharedArrayBuffer;
}
