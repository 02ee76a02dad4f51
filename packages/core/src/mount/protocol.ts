/*
 * What processes say over a mount's socket: one connection per call, lines of JSON in UTF-8.
 *
 *   to the owner    {"cairn":1,"call":"commit","options":{…}}     closing the connection calls it off
 *   from the owner  {"progress":{…}}                              any number of times
 *                   {"result":{…}}  or  {"error":{…}}             then it closes
 */
import { deserializeError, serializeError, type CairnError, type SerializedError } from '../errors.js';
import type {
  CommitOptions,
  MountCommitResult,
  MountReloadOptions,
  MountReloadResult,
  MountStatus,
  Progress,
  SnapshotInfo,
} from '../types.js';

export const PROTOCOL_VERSION = 1;
/** A call holds a message and metadata; an answer may name a million paths. */
export const MAX_REQUEST_BYTES = 1 << 20;

export interface Calls {
  commit: { options: Pick<CommitOptions, 'message' | 'metadata'> & { onConflict?: 'last-write-wins' | 'fail' }; result: MountCommitResult };
  reload: { options: Pick<MountReloadOptions, 'onConflict'>; result: MountReloadResult };
  status: { options: object; result: MountStatus };
}

export type Call = keyof Calls;

export interface Request<C extends Call = Call> {
  cairn: number;
  call: C;
  options: Calls[C]['options'];
}

export type Reply = { progress: Progress } | { result: unknown } | { error: SerializedError };

/** JSON has no dates and no errors. */
export function packResult(call: Call, result: Calls[Call]['result']): unknown {
  if (call !== 'status') return result;
  const { lastError, ...status } = result as MountStatus;
  return { ...status, ...(lastError === undefined ? {} : { lastError: serializeError(lastError) }) };
}

export function unpackResult<C extends Call>(call: C, packed: unknown): Calls[C]['result'] {
  if (call === 'commit') return withDates(packed as MountCommitResult);
  if (call === 'reload') return packed as MountReloadResult;
  const { lastError, lastCommit, base, head, ...status } = packed as MountStatus & { lastError?: SerializedError };
  return {
    ...status,
    base: base === null ? null : withDate(base),
    head: head === null ? null : withDate(head),
    ...(lastCommit === undefined ? {} : { lastCommit: withDates(lastCommit) }),
    ...(lastError === undefined ? {} : { lastError: deserializeError(lastError) as CairnError }),
  };
}

function withDates(result: MountCommitResult): MountCommitResult {
  return { ...result, snapshot: withDate(result.snapshot) };
}

function withDate(info: SnapshotInfo): SnapshotInfo {
  return { ...info, createdAt: new Date(info.createdAt) };
}
