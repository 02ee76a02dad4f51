/** `ENOENT`-style codes on path errors, so that code written for node:fs keeps working; `CAIRN_*` elsewhere. */
export type ErrorCode =
  | 'ENOENT'
  | 'EEXIST'
  | 'EISDIR'
  | 'ENOTDIR'
  | 'ENOTEMPTY'
  | 'EINVAL'
  | 'ENOSPC'
  | 'EMFILE'
  | 'EACCES'
  | 'EIO'
  | 'CAIRN_VOLUME_NOT_FOUND'
  | 'CAIRN_VOLUME_EXISTS'
  | 'CAIRN_SNAPSHOT_NOT_FOUND'
  | 'CAIRN_AMBIGUOUS_REF'
  | 'CAIRN_STORE_NOT_FOUND'
  | 'CAIRN_TAG_EXISTS'
  | 'CAIRN_INVALID_NAME'
  | 'CAIRN_INVALID_PATH'
  | 'CAIRN_INVALID_ARGUMENT'
  | 'CAIRN_CONFLICT'
  | 'CAIRN_UNCOMMITTED_CHANGES'
  | 'CAIRN_READ_ONLY'
  | 'CAIRN_CLOSED'
  | 'CAIRN_STORE_FORMAT'
  | 'CAIRN_NOT_A_STORE'
  | 'CAIRN_NETWORK_FILE_SYSTEM'
  | 'CAIRN_STORE_FULL'
  | 'CAIRN_MOUNT_OWNED'
  | 'CAIRN_NOT_A_MOUNT'
  | 'CAIRN_FILE_TOO_LARGE'
  | 'CAIRN_SOURCE_CHANGED'
  | 'CAIRN_DAMAGED'
  | 'CAIRN_INDEX_REPLACED'
  | 'CAIRN_GC_BUSY'
  | 'CAIRN_SAME_PID'
  | 'CAIRN_WORKER_DIED';

/** Marks our errors so that they are known across duplicate installs, threads and realms. */
const MARK = Symbol.for('cairn.error');

export interface CairnErrorOptions {
  /** What the caller can do next, as one sentence. */
  hint: string;
  cause?: unknown;
}

/**
 * Every error that Cairn raises on purpose. `code` is stable, `hint` says what to do next. Packages built on the core raise
 * it with codes of their own.
 */
export class CairnError<Code extends string = ErrorCode> extends Error {
  readonly code: Code;
  readonly hint: string;

  constructor(code: Code, message: string, options: CairnErrorOptions) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
    Object.defineProperty(this, MARK, { value: true });
  }
}

export class NotFoundError extends CairnError {}
export class AlreadyExistsError extends CairnError {}
export class InvalidError extends CairnError {}

export class VolumeNotFoundError extends NotFoundError {
  readonly volume: string;
  constructor(volume: string) {
    super('CAIRN_VOLUME_NOT_FOUND', `no volume named '${volume}'`, {
      hint: `create it with volumes.create('${volume}') or 'cairn volume create ${volume}', or list what is there with 'cairn volume list'`,
    });
    this.volume = volume;
  }
}

export class VolumeExistsError extends AlreadyExistsError {
  readonly volume: string;
  constructor(volume: string) {
    super('CAIRN_VOLUME_EXISTS', `a volume named '${volume}' exists already`, {
      hint: 'choose another name, delete the volume first, or allow an existing one',
    });
    this.volume = volume;
  }
}

/** `candidates` holds the full ids that an ambiguous prefix matches; empty when nothing matches. */
export class SnapshotNotFoundError extends NotFoundError {
  readonly ref: string;
  readonly candidates: string[];
  constructor(ref: string, candidates: string[] = []) {
    super(
      candidates.length > 0 ? 'CAIRN_AMBIGUOUS_REF' : 'CAIRN_SNAPSHOT_NOT_FOUND',
      candidates.length > 0 ? `'${ref}' names ${candidates.length} snapshots` : `no snapshot '${ref}' in this volume`,
      { hint: candidates.length > 0 ? `give more digits: ${candidates.join(', ')}` : "list snapshots with history() or 'cairn log'" },
    );
    this.ref = ref;
    this.candidates = candidates;
  }
}

export class FileNotFoundError extends NotFoundError {
  readonly path: string;
  constructor(path: string, hint = 'check the path; listdir() or `cairn ls` shows what is there, reload() brings in newer commits') {
    super('ENOENT', `no such file or directory: '${path}'`, { hint });
    this.path = path;
  }
}

export class FileExistsError extends AlreadyExistsError {
  readonly path: string;
  constructor(path: string, hint = 'remove it first, choose another path, or pass force (-f)') {
    super('EEXIST', `file exists already: '${path}'`, { hint });
    this.path = path;
  }
}

/** A path error other than missing or existing: `EISDIR`, `ENOTDIR`, `ENOTEMPTY`, `EINVAL`. */
export class PathError extends CairnError {
  readonly path: string;
  constructor(code: 'EISDIR' | 'ENOTDIR' | 'ENOTEMPTY' | 'EINVAL', path: string, message: string, hint: string) {
    super(code, `${message}: '${path}'`, { hint });
    this.path = path;
  }
}

export class InvalidPathError extends InvalidError {
  readonly path: string;
  constructor(path: string, reason: string) {
    super('CAIRN_INVALID_PATH', `invalid path ${JSON.stringify(path)}: ${reason}`, {
      hint: "paths are POSIX paths from the volume's root, such as 'models/a.safetensors', without '..', empty segments, NUL or backslash",
    });
    this.path = path;
  }
}

export class InvalidNameError extends InvalidError {
  constructor(what: 'volume name' | 'tag', name: string, reason: string) {
    super('CAIRN_INVALID_NAME', `invalid ${what} ${JSON.stringify(name)}: ${reason}`, {
      hint: 'begin with a letter, digit or _, go on with letters, digits, . _ -, 64 characters at most',
    });
  }
}

export class InvalidArgumentError extends InvalidError {
  constructor(message: string, hint: string) {
    super('CAIRN_INVALID_ARGUMENT', message, { hint });
  }
}

export class ConflictError extends CairnError {
  readonly paths: string[];
  constructor(paths: string[]) {
    super(
      'CAIRN_CONFLICT',
      `${paths.length} path(s) were changed by another commit: ${paths.slice(0, 5).join(', ')}${paths.length > 5 ? ', …' : ''}`,
      {
        hint: "nothing was published and your changes are kept: reload() and look, or commit again with onConflict: 'last-write-wins'",
      },
    );
    this.paths = paths;
  }
}

/** One damaged object and what it touches. `mount`: what the store knows of a mounted folder; the folder itself is whole. */
export interface Damage {
  kind: 'chunk' | 'node' | 'snapshot' | 'pack' | 'index' | 'mount';
  id: string;
  /** Of a mount: where its folder was, as far as that can be read. */
  folder?: string;
  /** `mount`: the folder of a mount that needs it in what it holds, which is no version (`snapshot` is empty). */
  affects: { volume: string; snapshot: string; path: string; tensor?: string; mount?: string }[];
}

export class DamageError extends CairnError {
  readonly damage: Damage[];
  constructor(message: string, damage: Damage[], cause?: unknown) {
    const mount = damage.find(({ kind }) => kind === 'mount');
    super('CAIRN_DAMAGED', message, {
      hint: damage.some(({ kind }) => kind === 'index')
        ? "the index can be made anew from packs and journal: 'cairn repair', or repairStore(dir)"
        : mount !== undefined
          ? `'cairn gc --forget-mount ${mount.id}', or store.gc({ forgetMount }), sets the damaged state aside; mounting the folder again keeps all files in it`
          : "run 'cairn verify --read-data' or store.verify({ readData: true }) to see what is touched, and 'cairn repair --from …' or repairStore(dir, { sources }) with good copies; older versions may still be whole",
      cause,
    });
    this.damage = damage;
  }
}

export class ReadOnlyError extends CairnError {
  constructor(what: string) {
    super('CAIRN_READ_ONLY', `${what} is read-only`, { hint: 'open it without readOnly to change it' });
  }
}

export class ClosedError extends CairnError {
  constructor(what: string) {
    super('CAIRN_CLOSED', `this ${what} is closed`, { hint: `open a new ${what}` });
  }
}

export class StoreFormatError extends CairnError {
  constructor(message: string, hint: string) {
    super('CAIRN_STORE_FORMAT', message, { hint });
  }
}

export class SourceChangedError extends CairnError {
  readonly path: string;
  constructor(path: string) {
    super('CAIRN_SOURCE_CHANGED', `'${path}' changed while it was read, again and again`, {
      hint: 'store it when nothing writes to it, or copy it first',
    });
    this.path = path;
  }
}

export class StoreFullError extends CairnError {
  constructor(limitBytes: number) {
    super('CAIRN_STORE_FULL', `the store would grow over its limit of ${limitBytes} bytes`, {
      hint: 'nothing was published: prune old snapshots, or open the store with a larger maxBytes',
    });
  }
}

export class WorkerDiedError extends CairnError {
  constructor(cause?: unknown) {
    super('CAIRN_WORKER_DIED', 'a worker thread ended before it had finished', {
      hint: 'nothing was published; run the operation again, and look at the cause when it repeats',
      cause,
    });
  }
}

/** Why a worker thread is gone. Node says that one could not start for want of a descriptor in words only. */
export function workerFailure(cause: unknown): CairnError {
  const code = cause instanceof Error ? /\b(EMFILE|ENFILE)\b/.exec(cause.message)?.[1] : undefined;
  const known = code === undefined ? undefined : IO_HINTS[code];
  if (known === undefined) return new WorkerDiedError(cause);
  return new CairnError(known[0], `cannot start a worker thread: ${(cause as Error).message}`, { hint: known[1], cause });
}

/** `pid`: the process that owns the mount. */
export class MountOwnedError extends CairnError {
  readonly pid: number;
  /** @param claim of a process that nobody can look at from here: the file by which it owns the mount */
  constructor(dir: string, pid: number, claim?: string) {
    const way = "work through it ('cairn commit', 'cairn reload' and 'cairn status' do), or wait until it ends";
    super('CAIRN_MOUNT_OWNED', `the mount '${dir}' belongs to process ${pid}${claim === undefined ? '' : ' of another pid namespace'}`, {
      hint: claim === undefined ? way : `${way}; whether it lives cannot be seen from here: when it is known to be gone, remove '${claim}'`,
    });
    this.pid = pid;
  }
}

/** Works across duplicate installs and realms, where `instanceof` does not. */
export function isCairnError(error: unknown, code?: ErrorCode): error is CairnError {
  return (
    typeof error === 'object' && error !== null && MARK in error && (code === undefined || (error as unknown as CairnError).code === code)
  );
}

/** What `read` gives; undefined where it meets damage, which is added to `found`. */
export function collectDamage<T>(found: Damage[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
    found.push(...(error as DamageError).damage);
    return undefined;
  }
}

/** What `read` gives; undefined where it meets damage. */
export function unlessDamaged<T>(read: () => T): T | undefined {
  return collectDamage([], read);
}

const IO_HINTS: Partial<Record<string, [ErrorCode, string]>> = {
  ENOSPC: ['ENOSPC', 'the disk is full: free some space and run it again; nothing was published'],
  EDQUOT: ['ENOSPC', 'the disk quota is used up: free some space and run it again; nothing was published'],
  EMFILE: ['EMFILE', "this process has too many open files: raise the limit ('ulimit -n') or close some"],
  ENFILE: ['EMFILE', 'this machine has too many open files: close some'],
  EIO: ['EIO', 'the disk reported an error: check it, then run verify'],
  EACCES: ['EACCES', 'permission denied: check the owner and mode'],
  EPERM: ['EACCES', 'permission denied: check the owner and mode'],
  EROFS: ['EACCES', 'the file system is read-only'],
  EISDIR: ['EISDIR', 'a folder has the place of a file: look what put it there'],
  ENOTDIR: ['ENOTDIR', 'something else has the place of a folder: look what put it there'],
  ENAMETOOLONG: ['EINVAL', 'the whole path is longer than the system takes: use a folder with a shorter path'],
  ELOOP: ['EINVAL', 'symlinks lead in a circle, or through too many others: look at the folders above'],
  ESPIPE: ['EINVAL', 'a pipe has the place of a file: look what put it there'],
  ENXIO: ['EINVAL', 'a socket or device has the place of a file: look what put it there'],
};

/** Turns an error of `node:fs` about our own files or a local source into ours; others pass through. */
export function wrapIoError(error: unknown, doing: string): unknown {
  if (isCairnError(error) || !(error instanceof Error)) return error;
  const known = IO_HINTS[(error as NodeJS.ErrnoException).code ?? ''];
  return known ? new CairnError(known[0], `${doing}: ${error.message}`, { hint: known[1], cause: error }) : error;
}

/** An error as it crosses a thread boundary: structured clone drops classes and fields. */
export interface SerializedError {
  name: string;
  message: string;
  stack?: string | undefined;
  cairn?: { code: ErrorCode; hint: string; fields: Record<string, unknown> };
  errno?: string | undefined;
}

export function serializeError(error: unknown): SerializedError {
  if (!(error instanceof Error)) return { name: 'Error', message: String(error) };
  const plain: SerializedError = { name: error.name, message: error.message, stack: error.stack };
  if (isCairnError(error)) {
    const { code, hint, name: _name, ...fields } = error as CairnError & Record<string, unknown>;
    plain.cairn = { code, hint, fields: Object.fromEntries(Object.entries(fields).filter(([key]) => key !== 'cause')) };
  } else plain.errno = (error as NodeJS.ErrnoException).code;
  return plain;
}

const CLASSES: Record<string, { prototype: CairnError }> = {
  CairnError,
  NotFoundError,
  AlreadyExistsError,
  InvalidError,
  VolumeNotFoundError,
  VolumeExistsError,
  SnapshotNotFoundError,
  FileNotFoundError,
  FileExistsError,
  PathError,
  InvalidPathError,
  InvalidNameError,
  InvalidArgumentError,
  ConflictError,
  DamageError,
  ReadOnlyError,
  ClosedError,
  StoreFormatError,
  SourceChangedError,
  StoreFullError,
  WorkerDiedError,
  MountOwnedError,
};

/** The inverse of `serializeError`: the same class, code, hint and fields, whatever a class's constructor takes. */
export function deserializeError(plain: SerializedError): Error {
  if (plain.cairn === undefined) {
    const error = new Error(plain.message);
    if (plain.stack !== undefined) error.stack = plain.stack;
    return Object.assign(error, { name: plain.name }, plain.errno === undefined ? {} : { code: plain.errno });
  }
  const error = new CairnError(plain.cairn.code, plain.message, { hint: plain.cairn.hint });
  Object.setPrototypeOf(error, (Object.hasOwn(CLASSES, plain.name) ? CLASSES[plain.name]! : CairnError).prototype);
  if (plain.stack !== undefined) error.stack = plain.stack;
  return Object.assign(error, plain.cairn.fields, { name: plain.name });
}
