import fs from 'node:fs';
import { reads } from '../disk/reads.js';
import { FileNotFoundError, isCairnError, PathError, SourceChangedError, wrapIoError, type CairnError } from '../errors.js';

/** A file on the local disk that is to be stored. The size is used to plan the work; what counts is what is read. */
export interface LocalSource {
  readonly path: string;
  readonly stat: { readonly size: number };
}

/** A source as it was while it was read. */
export interface SourceStat {
  size: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
  inode: bigint;
  /** Its owner may execute it. */
  executable: boolean;
}

/** What must not differ before and after a read. The change time also shows writes whose modification time was set back. */
type Identity = Pick<fs.BigIntStats, 'size' | 'mtimeNs' | 'ctimeNs' | 'ino'>;

/** Times that a source which changes under the reader is read before that is an error. */
export const READ_ATTEMPTS = 3;

/**
 * Change times come from a clock that ticks every 1 to 10 ms, so a write that follows another within one tick leaves them
 * as they were. A file is read only when its last change is older than this.
 */
export const TICK_MS = 20;
const MAX_WAITS = 10;
const OWNER_EXECUTES = 0o100n;

/** @throws FileNotFoundError, PathError, CairnError for what the system refuses. */
export function openSource(path: string): number {
  return reading(path, () => reads.openSync(path));
}

/**
 * The state of an open source, taken when its last change is long enough ago for the next one to show.
 * @throws PathError for a folder or a device; SourceChangedError for a source that never rests: what is read of it could be of
 * several moments, and nothing would tell.
 */
export async function settledStat(path: string, fd: number): Promise<fs.BigIntStats> {
  for (let waits = 0; ; waits++) {
    const stat = statOf(path, fd);
    checkRegular(path, stat);
    const ageMs = Date.now() - Number(stat.ctimeNs / 1_000_000n);
    if (ageMs < 0 || ageMs >= TICK_MS) return stat;
    if (waits === MAX_WAITS) throw new SourceChangedError(path);
    await new Promise((resolve) => setTimeout(resolve, TICK_MS - ageMs));
  }
}

export function statOf(path: string, fd: number): fs.BigIntStats {
  return reading(path, () => fs.fstatSync(fd, { bigint: true }));
}

export function isUnchanged(before: Identity, after: Identity): boolean {
  return before.mtimeNs === after.mtimeNs && before.ctimeNs === after.ctimeNs && before.size === after.size && before.ino === after.ino;
}

export function sourceStat(stat: fs.BigIntStats): SourceStat {
  return {
    size: Number(stat.size),
    mtimeNs: stat.mtimeNs,
    ctimeNs: stat.ctimeNs,
    inode: stat.ino,
    executable: (stat.mode & OWNER_EXECUTES) !== 0n,
  };
}

/** Runs a call on a source and turns its errors into typed ones with the path. */
export function reading<T>(path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw sourceError(path, error);
  }
}

/** The typed form of a system error about a source. */
export function sourceError(path: string, error: unknown): unknown {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' && !(error instanceof FileNotFoundError))
    return new FileNotFoundError(path, 'check the local path; the file may have been moved or deleted meanwhile');
  if (code === 'ENOTDIR' && !(error instanceof PathError))
    return new PathError('ENOTDIR', path, 'a part of the local path is no folder', 'check the local path');
  if (code === 'ENXIO') return notRegular(path);
  const wrapped = wrapIoError(error, `cannot read '${path}'`);
  return isCairnError(wrapped) ? Object.assign(wrapped, { path }) : wrapped;
}

/** Whether an error concerns this source alone, as opposed to the store, the machine or the operation. */
export function isSourceFault(path: string, error: unknown): error is CairnError {
  return isCairnError(error) && error.code !== 'EMFILE' && (error as { path?: unknown }).path === path;
}

function checkRegular(path: string, stat: fs.BigIntStats): void {
  if (stat.isDirectory()) throw new PathError('EISDIR', path, 'a folder is no file', 'store it as a folder, or name a file in it');
  if (!stat.isFile()) throw notRegular(path);
}

function notRegular(path: string): PathError {
  return new PathError(
    'EINVAL',
    path,
    'not a regular file',
    'devices, sockets and pipes cannot be stored by path: read them and store the stream',
  );
}
