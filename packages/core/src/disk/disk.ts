/** A file that is being written, once, by one owner. */
export interface WritableFile {
  readonly path: string;
  /** For `Disk.attach`, in other threads of this process, while the file is open. */
  readonly fd: number;
  /** Writes all of `bytes`, however many calls the system takes. */
  writeSync(bytes: Uint8Array, position: number): void;
  /** The same off the thread. One at a time; `bytes` must stay untouched, and the file open, until it settles. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  /** Makes bytes and size durable. */
  syncSync(): void;
  /** The same off the thread, for what was written before the call; writes may go on meanwhile. The file must stay open until it settles. */
  sync(): Promise<void>;
  /** The time of its last change, as the system is to tell it. In microseconds: what is finer is cut off. */
  setTimeSync(mtimeNs: bigint): void;
  /** Idempotent. */
  closeSync(): void;
}

/**
 * Everything that core changes on disk itself, in stores and in users' folders, goes through this, so that a test can fail, tear or
 * record any of it; lint sees to it (scripts/lib/disk-door.mjs), and names what cannot: LMDB's files and sockets. Paths are absolute.
 * Errors of the system that a user can act on are `CairnError`s; the rest (`EEXIST`, `ENOENT`) come as they are.
 *
 * After a failed write or sync of a file every further use of that file throws the same error: what the
 * page cache holds for it can no longer be trusted.
 */
export interface Disk {
  /** A new file, with mode 0600 if none is given, less the umask; `EEXIST` where there is anything, a symlink too. */
  create(path: string, mode?: number): WritableFile;
  /** A file that is there, to be written to further; never through a symlink. */
  open(path: string): WritableFile;
  /** A file that another thread of this process has open, which keeps it open meanwhile, and closes it. */
  attach(path: string, fd: number): WritableFile;
  /** With all missing parents, mode 0700; what it made is durable. No error where there is one. */
  mkdir(path: string): void;
  /** One folder, with mode 0777 if none is given, less the umask; not durable. `EEXIST` where there is anything. */
  makeFolder(path: string, mode?: number): void;
  /** An empty one. */
  removeFolder(path: string): void;
  symlink(target: string, path: string): void;
  rename(from: string, to: string): void;
  /** `EEXIST` where `to` exists: the atomic way to be first. */
  link(from: string, to: string): void;
  unlink(path: string): void;
  chmod(path: string, mode: number): void;
  /** Makes the names in a folder durable. */
  syncDirectory(path: string): void;
  /**
   * Makes durable what others wrote to a file, here open for reading, also where nothing else is synced: after it a write through a
   * memory map moves the file's time of change again.
   */
  syncSource(path: string, fd: number): Promise<void>;
  /** Told of each transaction that the index has committed, since LMDB writes past this interface: for disks that keep an order of all changes. */
  indexCommitted?(): void;
}

/** How to open a disk; plain data, so that the same spec opens the same kind of disk in every worker. */
export interface DiskSpec {
  /** False: nothing is ever synced. For temporary stores, which need not survive a power cut. */
  durable: boolean;
  /** URL of a module whose default export wraps the disk: for tests. */
  module?: string;
  /** Handed to that module. */
  options?: unknown;
  /** What a test takes out, to see that without it something is lost. */
  without?: Protection;
}

/**
 * What keeps a collection from taking what is in use: the readers' leases, the memory of snapshots that were removed while they were
 * read, the wait for references that no commit has yet, the second look at what those refer to, the wait for who reads an index that was
 * replaced, and that a collection ends whose marking another one has outdated, or whose claim another one has. And what keeps a commit from
 * undoing others: that it compares the head with the one that it was made on.
 */
export type Protection = 'leases' | 'removed' | 'pending' | 'revive' | 'index' | 'epoch' | 'collector' | 'compare';
