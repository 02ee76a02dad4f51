/*
 * What processes say over a mount's socket: one connection per call, lines of JSON in UTF-8.
 *
 *   to the owner    {"cairn":1,"call":"commit","options":{…}}     closing the connection calls it off
 *   from the owner  {"progress":{…}}                              any number of times
 *                   {"result":{…}}  or  {"error":{…}}             then it closes
 */
import {
  deserializeError,
  InvalidArgumentError,
  serializeError,
  StoreFormatError,
  type CairnError,
  type SerializedError,
} from '../errors.js';
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

const SAME_VERSION = 'use the same version of Cairn in both processes';

/** What each option of a call may be. */
const OPTIONS: Record<Call, Record<string, (value: unknown) => boolean>> = {
  commit: {
    message: (value) => typeof value === 'string',
    metadata: isObject,
    onConflict: (value) => value === 'last-write-wins' || value === 'fail',
  },
  reload: { onConflict: (value) => value === 'keep-local' || value === 'fail' },
  status: {},
};

/** A call as the owner hears it. @throws StoreFormatError for what is none in this version, InvalidArgumentError for one of another kind */
export function parseRequest(line: string): Request {
  const request = parseLine(line);
  if (request?.['cairn'] !== PROTOCOL_VERSION) throw anotherVersion('who asks');
  const { call, options = {} } = request;
  if (typeof call !== 'string' || !Object.hasOwn(OPTIONS, call)) throw new InvalidArgumentError(`a mount has no such call`, SAME_VERSION);
  const known = OPTIONS[call as Call];
  const wrong = isObject(options)
    ? Object.keys(options).find((name) => !Object.hasOwn(known, name) || known[name]!(options[name]) !== true)
    : '';
  if (wrong !== undefined) throw new InvalidArgumentError(`a mount's '${call}' has no option '${wrong}' of that kind`, SAME_VERSION);
  return { cairn: PROTOCOL_VERSION, call: call as Call, options: options as object };
}

/** A line of the answer. @throws StoreFormatError for what is none in this version */
export function parseReply(line: string): Reply {
  const reply = parseLine(line);
  const { error, progress } = reply ?? {};
  if (reply === undefined || ('error' in reply && !isSerializedError(error)) || ('progress' in reply && !isObject(progress)))
    throw anotherVersion('the owner of this mount');
  if (!['result', 'error', 'progress'].some((name) => name in reply)) throw anotherVersion('the owner of this mount');
  return reply as Reply;
}

function isSerializedError(value: unknown): value is SerializedError {
  if (!isObject(value) || typeof value['name'] !== 'string' || typeof value['message'] !== 'string') return false;
  const { cairn } = value;
  return cairn === undefined || (isObject(cairn) && typeof cairn['code'] === 'string' && typeof cairn['hint'] === 'string');
}

function parseLine(line: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(line);
    return isObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function anotherVersion(who: string): StoreFormatError {
  return new StoreFormatError(`${who} speaks another version`, SAME_VERSION);
}

/** JSON has no dates and no errors. */
export function packResult(call: Call, result: Calls[Call]['result']): unknown {
  if (call !== 'status') return result;
  const { lastError, ...status } = result as MountStatus;
  return { ...status, ...(lastError === undefined ? {} : { lastError: serializeError(lastError) }) };
}

/** @throws StoreFormatError for what is no result in this version */
export function unpackResult<C extends Call>(call: C, packed: unknown): Calls[C]['result'] {
  try {
    return unpack(call, packed);
  } catch (error) {
    if (error instanceof TypeError) throw anotherVersion('the owner of this mount');
    throw error;
  }
}

function unpack<C extends Call>(call: C, packed: unknown): Calls[C]['result'] {
  if (!isObject(packed)) throw new TypeError('no result');
  if (call === 'commit') return withDates(packed as unknown as MountCommitResult);
  if (call === 'reload') return packed as unknown as MountReloadResult;
  const { lastError, lastCommit, base, head, ...status } = packed as unknown as MountStatus & { lastError?: SerializedError };
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
