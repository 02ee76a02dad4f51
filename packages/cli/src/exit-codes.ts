import type { ErrorCode } from '@cairn/core';

/** What the command's exit status says. */
export const ExitCode = {
  done: 0,
  /** An I/O error, or something unexpected. */
  failed: 1,
  /** Wrong usage, or an invalid name or path. */
  usage: 2,
  /** Store, volume, ref or path not found. */
  notFound: 3,
  /** Something is there already: `-f` replaces it. */
  exists: 4,
  conflict: 5,
  damage: 6,
  /** The store refuses: a newer format, no store at all, a network file system, read-only, owned by another process. */
  refused: 7,
  /** No space left on the disk, or under the store's own limit. */
  full: 8,
  /** Done, but for files of a mounted folder that were busy. */
  busy: 9,
  /** `diff --exit-code` found differences. */
  differs: 10,
  /** `run`: we failed, or the last commit did. */
  runFailed: 125,
  notExecutable: 126,
  commandNotFound: 127,
  interrupted: 130,
  terminated: 143,
} as const;
export type ExitCode = (typeof ExitCode)[keyof typeof ExitCode];

/** Complete by its type: a new error code of the library has to be placed here before this compiles. */
const BY_ERROR_CODE: Record<ErrorCode, ExitCode> = {
  EIO: ExitCode.failed,
  EMFILE: ExitCode.failed,
  EACCES: ExitCode.failed,
  CAIRN_CLOSED: ExitCode.failed,
  CAIRN_WORKER_DIED: ExitCode.failed,
  CAIRN_INDEX_REPLACED: ExitCode.failed,
  CAIRN_GC_BUSY: ExitCode.failed,
  CAIRN_SAME_PID: ExitCode.failed,
  CAIRN_SOURCE_CHANGED: ExitCode.failed,
  CAIRN_FILE_TOO_LARGE: ExitCode.failed,

  EISDIR: ExitCode.usage,
  ENOTDIR: ExitCode.usage,
  ENOTEMPTY: ExitCode.usage,
  EINVAL: ExitCode.usage,
  CAIRN_INVALID_NAME: ExitCode.usage,
  CAIRN_INVALID_PATH: ExitCode.usage,
  CAIRN_INVALID_ARGUMENT: ExitCode.usage,

  ENOENT: ExitCode.notFound,
  CAIRN_STORE_NOT_FOUND: ExitCode.notFound,
  CAIRN_VOLUME_NOT_FOUND: ExitCode.notFound,
  CAIRN_SNAPSHOT_NOT_FOUND: ExitCode.notFound,
  CAIRN_AMBIGUOUS_REF: ExitCode.notFound,

  EEXIST: ExitCode.exists,
  CAIRN_VOLUME_EXISTS: ExitCode.exists,
  CAIRN_TAG_EXISTS: ExitCode.exists,

  CAIRN_CONFLICT: ExitCode.conflict,
  CAIRN_UNCOMMITTED_CHANGES: ExitCode.conflict,

  CAIRN_DAMAGED: ExitCode.damage,

  CAIRN_STORE_FORMAT: ExitCode.refused,
  CAIRN_NOT_A_STORE: ExitCode.refused,
  CAIRN_NETWORK_FILE_SYSTEM: ExitCode.refused,
  CAIRN_READ_ONLY: ExitCode.refused,
  CAIRN_MOUNT_OWNED: ExitCode.refused,
  CAIRN_NOT_A_MOUNT: ExitCode.refused,

  ENOSPC: ExitCode.full,
  CAIRN_STORE_FULL: ExitCode.full,
};

/** The exit code for an error's `code`, whether the library or Node raised it. */
export function exitCodeFor(code: string): ExitCode {
  return Object.hasOwn(BY_ERROR_CODE, code) ? BY_ERROR_CODE[code as ErrorCode] : ExitCode.failed;
}
