import type { EventEmitter } from 'node:events';
import type { Readable } from 'node:stream';
import type { ContentId } from './content/content.js';
import type { CairnError, Damage } from './errors.js';
import type { HashImplementation } from './hash/hasher.js';
import type { Brand } from './util/brand.js';

/** A snapshot's identity: the BLAKE3 digest of its record, 64 hex digits. */
export type SnapshotId = Brand<string, 'SnapshotId'>;

/**
 * Names a snapshot within its volume: `HEAD`, `HEAD~n` (n surviving snapshots back), a tag, a full id, a unique
 * prefix of six or more digits, or a date (the newest snapshot of that moment; a bare `YYYY-MM-DD` means the end of that day, UTC).
 */
export type Ref = string | Date;

/** What a file's bytes can be given as. A string is stored as UTF-8. */
export type Bytes =
  string | ArrayBuffer | SharedArrayBuffer | ArrayBufferView | Blob | AsyncIterable<Uint8Array> | ReadableStream<Uint8Array>;

export type Metadata = Record<string, string | number | boolean>;

/** Options of every call that can take long. An abort rejects with `signal.reason` and leaves nothing behind. */
export interface Work {
  signal?: AbortSignal | undefined;
  onProgress?: ((progress: Progress) => void) | undefined;
}

/**
 * Running totals of a long call: `bytes` and `files` done so far; `newBytes` of them were not in the store before. What looks at a whole
 * store, `verify` and a repair, goes through one phase after another, and counts each from 0.
 */
export interface Progress {
  phase: string;
  bytes: number;
  totalBytes?: number;
  files: number;
  newBytes: number;
  /** What a phase counts of the store's own: packs, or objects. `total`: so many there are at most. */
  steps?: { of: 'packs' | 'objects'; done: number; total?: number };
}

export interface StoreOptions {
  /** Make the store when the folder is absent or empty. Default true; a store that is `readOnly` is never made. */
  create?: boolean;
  readOnly?: boolean;
  /** Worker threads for storing and reading. Default: the number of cores. */
  workers?: number;
  /** Memory for decoded tree nodes, in bytes. Default 64 MiB. */
  cacheBytes?: number;
  /** A commit that would take the packs over this many bytes fails with `CAIRN_STORE_FULL`. Default: no limit. */
  maxBytes?: number;
  /** Bring small packs together when there are more than 64, behind the commits that made them. Default true; `optimize` does it when asked. */
  mergeSmallPacks?: boolean;
  /** How hard new chunks are compressed: not at all, by a fast zstd where a sample promises to save (default), or as small as zstd gets. */
  compression?: 'none' | 'fast' | 'max';
  /** BLAKE3 implementation; both give the same digests. Default `auto`: native where it loads. `CAIRN_HASH` sets what `auto` means. */
  hash?: 'auto' | HashImplementation;
  /** Check the digest of every chunk that is read. Default true. */
  verifyReads?: boolean;
  /** LMDB is unsafe on network file systems, so they are refused unless this is set. */
  allowNetworkFileSystem?: boolean;
  /** Gets what nobody asked for, such as files that were passed over; so do the channels `cairn:log` and `cairn:commit` of node:diagnostics_channel. */
  logger?: Pick<Console, 'debug' | 'info' | 'warn' | 'error'>;
  /** Source of snapshot and modification times, for tests. */
  clock?: () => Date;
}

/** An open store. Closing is idempotent and waits for work in flight; the last handle of a process closes the engine. */
export interface Store extends AsyncDisposable {
  readonly volumes: Volumes;
  info(): StoreInfo;
  /** What is kept, and what each volume and each snapshot alone keeps: walks every tree, so it takes time in a large store. */
  usage(options?: Work): Promise<Usage>;
  /**
   * Checks packs, index, ref journal and every tree; with `readData` also re-reads, decodes and digests every payload.
   * Damage is reported, not thrown.
   */
  verify(options?: Work & { readData?: boolean }): Promise<VerifyReport>;
  /**
   * Frees what no volume, open snapshot, mount or unfinished work needs, while everybody goes on. What a process has open, or refers to
   * without a commit, waits until it is done: `waiting` and `blockedBy` tell. A dry run changes nothing, and tells what a run at
   * that moment would; `breakLease` and `forgetMount` it takes for done.
   * @throws DamageError where a tree cannot be read: what it needs is not known then; ReadOnlyError
   */
  gc(options?: GcOptions): Promise<GcReport>;
  /**
   * Brings small packs together and rewrites sparse ones, and such in which the chunks of the newest versions lie far from the order in
   * which they are read, which the copies have; and frees what `gc` would. No digest, version or id changes. For a while it takes room for
   * the copies: no more than `maxBytes` leaves. A dry run changes nothing, and tells what a run at that moment would.
   * @throws as `gc`
   */
  optimize(options?: Work & { dryRun?: boolean }): Promise<OptimizeReport>;
  close(): Promise<void>;
}

export interface GcOptions extends Work {
  dryRun?: boolean;
  /** A lease that `blockedBy` named, of a process that is known to be gone: what it protects is given up first. */
  breakLease?: string;
  /**
   * A mount that `lostMounts` named, whose folder is known to be gone, or one of `unreadableMounts` that is damaged: what it keeps is given
   * up first.
   */
  forgetMount?: string;
}

/** Counts of packs, and bytes. */
export interface GcReport {
  /** Packs that held nothing that is needed. */
  packsDropped: number;
  /** Packs of which only what is needed was copied to new ones. */
  packsRewritten: number;
  /** By which the store is smaller now. */
  freed: number;
  /** What the packs that stay have. */
  live: number;
  /** To be freed by the next gc when those in `blockedBy` are done, and there are no `unreadableMounts` any more. */
  waiting: number;
  /** What only versions need that left their histories, and may be open: it counts as needed until they are closed. */
  held: number;
  /**
   * Processes that may refer to what waits, in changes without a commit, or have versions open that left their histories. Pid and time
   * are null where the lease tells nothing.
   */
  blockedBy: { lease: string; pid: number | null; since: Date | null; holds: 'changes' | 'versions' | 'both' }[];
  /**
   * Mounts whose folder is not where it was used last. What they hold is kept, since the folder may have been moved, or its disk be
   * absent; one that is gone for good is given up by `forgetMount`. Volume: null when it was deleted.
   */
  lostMounts: { mount: string; dir: string; volume: string | null }[];
  /**
   * Mounts whose state is damaged, or of a newer version of Cairn. What they need is not known, so that all that would be freed waits. One
   * that is damaged is given up by `forgetMount`, or by a repair: its state is set aside, and mounting its folder again keeps all files in
   * it. Folder: null where it cannot be read.
   */
  unreadableMounts: { mount: string; dir: string | null; why: string }[];
}

/** Packs, and their bytes; those that still wait for processes to be done with them are not counted after. */
export interface OptimizeReport {
  packsBefore: number;
  packsAfter: number;
  storedBefore: number;
  storedAfter: number;
}

export interface StoreInfo {
  dir: string;
  id: string;
  formatVersion: number;
  readOnly: boolean;
  hash: HashImplementation;
  workers: number;
}

/** Bytes. */
export interface Usage {
  /** All files of all snapshots. */
  logical: number;
  /** The files of all packs. */
  stored: number;
  /** Objects in packs that no snapshot of a history keeps. */
  unreachable: number;
  /** Of those, what snapshots need that left their histories, and that some process may have open: no gc frees it until they are closed. */
  held: number;
  /** Packs that a gc has given up, and that wait for processes with changes of before: the next gc without them deletes these. */
  waiting: number;
  volumes: { name: string; exclusive: number; snapshots: { id: SnapshotId; exclusive: number }[] }[];
}

export interface VerifyReport {
  ok: boolean;
  packs: number;
  /** Packs that no entry of the index leads to: of work under way, or of processes that died at it. The next `gc` takes them up. */
  strayPacks: number;
  chunks: number;
  bytes: number;
  damage: Damage[];
}

/** `healed`: objects that were missing or damaged and are whole again; `quarantined`: what was set aside, relative to the store. */
export interface RepairReport extends VerifyReport {
  healed: number;
  quarantined: string[];
  journal: JournalRepair;
}

/** What a repair found out of changes (of heads, names, tags, histories) that the ref journal does not tell any more. */
export interface JournalRepair {
  /** Changes whose files are damaged or gone. */
  missing: number;
  /** Of these, how many the old index still knew. */
  fromIndex: number;
  /** Versions that are in their histories again since packs hold their records. */
  fromPacks: { volume: string; snapshot: string }[];
  /** Missing changes that nothing made up for: a tag, a name, a deletion, a commit without a trace. */
  unknown: number;
  /** Where changes stay unknown: versions in packs and in no history. They may have been in one, or have been deleted; the next gc takes them. */
  unplaced: { volume: string; snapshot: string }[];
}

export interface Volumes {
  /**
   * Opens a handle on a volume's newest snapshot. When that is damaged the handle still gives history and older snapshots;
   * what needs the damaged one is a DamageError.
   * @throws VolumeNotFoundError unless `createIfMissing`.
   */
  fromName(name: string, options?: { createIfMissing?: boolean; readOnly?: boolean }): Promise<Volume>;
  /** A volume without a name that is deleted when its handle closes, or when its process is found dead. */
  ephemeral(): Promise<Volume>;
  create(name: string, options?: { allowExisting?: boolean }): Promise<void>;
  /** All named volumes, by name. */
  list(): Promise<VolumeInfo[]>;
  info(name: string): Promise<VolumeInfo>;
  rename(from: string, to: string): Promise<void>;
  /** A new volume that shares the history of `from` up to `at` (default: its head), and no data is copied. */
  fork(from: string, to: string, options?: { at?: Ref }): Promise<void>;
  delete(name: string, options?: { allowMissing?: boolean }): Promise<void>;
}

export interface VolumeInfo {
  name: string;
  head: SnapshotId | null;
  generation: number;
  createdAt: Date;
  /** Time of the newest snapshot; null before the first, and when its record is damaged. */
  updatedAt: Date | null;
  /** Files and symlinks at the head; null when that is damaged. */
  files: number | null;
  /** Bytes of the files at the head; null when that is damaged. */
  size: number | null;
  /** The head cannot be read. `history()` still tells of the older snapshots, and any of them can be opened or forked. */
  damaged: boolean;
}

/** What can be read: a handle (with its own uncommitted changes) or a snapshot. Paths are relative to the volume's root. */
export interface ReadView extends AsyncDisposable {
  /** The entries of a folder, by name; with `recursive` everything below it, folder by folder. */
  listdir(path: string, options?: { recursive?: boolean }): Promise<FileEntry[]>;
  iterdir(path: string, options?: { recursive?: boolean }): AsyncIterable<FileEntry>;
  /** @throws FileNotFoundError. Never follows symlinks. */
  stat(path: string): Promise<FileEntry>;
  exists(path: string): Promise<boolean>;
  readFile(path: string, options?: Work): Promise<Uint8Array>;
  readFile(path: string, encoding: 'utf8'): Promise<string>;
  /**
   * Fills each target from `position` (default 0), up to the file's end, and returns the number of bytes filled.
   * Fastest into memory on a SharedArrayBuffer, which workers fill directly.
   */
  readInto(requests: ReadRequest | ReadRequest[], options?: Work & { verify?: boolean }): Promise<number>;
  /** A byte stream of the version that the file has now, whatever is committed or reloaded while it is read. `end` is inclusive, as in node:fs. */
  createReadStream(path: string, options?: { start?: number; end?: number; signal?: AbortSignal }): Readable;
  /**
   * Writes a file or a whole folder to the local disk, exactly at `localPath`; into a folder that is there already.
   * @throws FileExistsError before anything is written, when a file is there already, unless `force` replaces it
   */
  copyToLocal(path: string, localPath: string, options?: Work & { force?: boolean }): Promise<void>;
  /** Tensors of a safetensors or GGUF file, or of all shards named by a `*.index.json`. @throws InvalidArgumentError on other files. */
  tensors(path: string): Promise<TensorInfo[]>;
  /** The chunks of a file in order, and how each is kept. */
  chunks(path: string): AsyncIterable<ChunkInfo>;
  close(): Promise<void>;
}

export interface ReadRequest {
  path: string;
  position?: number;
  target: Uint8Array;
}

export interface FileEntry {
  path: string;
  type: 'file' | 'directory' | 'symlink';
  size: number;
  mtimeMs: number;
  executable: boolean;
  contentId?: ContentId;
  symlinkTarget?: string;
}

/** `storedLength` is the payload's size on disk; `encoding` is `staged` while the chunk is not in a pack yet. */
export interface ChunkInfo {
  offset: number;
  length: number;
  digest: string;
  encoding: 'raw' | 'zstd' | 'planes' | 'delta' | 'staged';
  storedLength: number;
}

export interface TensorInfo {
  name: string;
  dtype: string;
  /** Outermost dimension first. */
  shape: number[];
  path: string;
  offset: number;
  size: number;
  contentId: ContentId;
}

export interface Snapshot extends ReadView {
  readonly info: SnapshotInfo;
}

export interface SnapshotInfo {
  id: SnapshotId;
  parent: SnapshotId | null;
  volume: string;
  generation: number;
  createdAt: Date;
  message: string;
  metadata: Metadata;
  /** Files and symlinks in it. */
  files: number;
  /** Bytes of its files. */
  size: number;
  /** Bytes of its commit in chunks that the store did not have before. */
  newBytes: number;
  tags: string[];
  /** Files and symlinks that differ from the surviving snapshot before it; where `history` was asked for it. */
  changes?: { added: number; modified: number; removed: number };
}

/** A handle: a base snapshot and this handle's own uncommitted changes, which nobody else sees before `commit()`. */
export interface Volume extends ReadView {
  /** Undefined for an ephemeral volume. */
  readonly name: string | undefined;
  /** Null before the first commit. @throws DamageError when its record is damaged. */
  readonly base: SnapshotInfo | null;
  /** Whether the handle differs from its base. */
  readonly dirty: boolean;
  /** Creates or replaces a file, and the folders above it. */
  writeFile(path: string, data: Bytes, options?: Work & { executable?: boolean }): Promise<void>;
  appendFile(path: string, data: Bytes, options?: Work): Promise<void>;
  /** `r`: read; `r+`: read and write an existing file; `w`: read and write a new or emptied one. */
  open(path: string, flags?: 'r' | 'r+' | 'w'): Promise<FileHandle>;
  /** Parents too; idempotent. */
  mkdir(path: string): Promise<void>;
  symlink(target: string, path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  /** Copies entries, never data. Several sources, or a destination that is a folder, copy into that folder. */
  copy(source: string | string[], destination: string, options?: { recursive?: boolean; from?: ReadView }): Promise<void>;
  remove(path: string, options?: { recursive?: boolean; allowMissing?: boolean }): Promise<void>;
  /**
   * Publishes this handle's changes atomically and durably, merged onto the head when that has moved, and stands on the result.
   * Without changes, message and metadata it makes no snapshot and returns the head.
   * @throws ConflictError with `onConflict: 'fail'`; nothing is published and the changes are kept.
   */
  commit(options?: CommitOptions): Promise<CommitResult>;
  /** Moves to the newest snapshot, own uncommitted changes on top (`discard` drops them). Never commits. */
  reload(options?: Work & { discard?: boolean }): Promise<{ from: SnapshotInfo | null; to: SnapshotInfo | null }>;
  /** A commit of its own from the head: all of `edit`, or nothing when it rejects. Without `force` an existing path is a `FileExistsError`. */
  batchUpload(edit: (batch: Batch) => Promise<void>, options?: CommitOptions & { force?: boolean }): Promise<CommitResult>;
  /**
   * Newest first. With `path`: only the snapshots that changed what is at that path, or below it. A damaged snapshot is left
   * out and told to the logger; `snapshot(id)` of it says what is wrong. With `changes` each says how many files it changed.
   */
  history(options?: { path?: string; from?: Ref; changes?: boolean }): AsyncIterable<SnapshotInfo>;
  snapshot(ref?: Ref): Promise<Snapshot>;
  /** What changed between two snapshots, of this volume or of others of the store (`to` defaults to the head), by path; modification times alone are no change. With `tensors` also which tensors of weights. */
  diff(from: Ref | Snapshot, to?: Ref | Snapshot, options?: { tensors?: boolean }): AsyncIterable<Change>;
  /**
   * The newest head, each time that there is one newer than this handle's base and than the one before, whoever committed it on
   * this machine. Of heads that come quickly one after the other only the newest is given; `history()` has the others. The handle
   * stays on its base until `reload()`. Waiting for the next one keeps the process alive. An abort rejects with `signal.reason`.
   * @throws ClosedError when the handle or its store closes, VolumeNotFoundError when the volume is deleted
   */
  watch(options?: { signal?: AbortSignal | undefined }): AsyncIterable<SnapshotInfo>;
  /** @throws AlreadyExistsError when the tag names another snapshot, unless `force`. */
  tag(name: string, ref?: Ref, options?: { force?: boolean }): Promise<void>;
  untag(name: string): Promise<void>;
  tags(): Promise<{ name: string; snapshot: SnapshotId }[]>;
  /** A new commit with the tree of an old snapshot: history only grows. @throws CairnError `CAIRN_UNCOMMITTED_CHANGES` on a dirty handle. */
  rollback(ref: Ref, options?: CommitOptions): Promise<CommitResult>;
  /**
   * Takes out of history what no rule of the policy keeps; what is tagged and the head always stay, and so does a damaged
   * snapshot. With `dryRun` it only reports. Handles and snapshots that are open go on as they are.
   * @throws InvalidArgumentError for a policy without rules
   */
  prune(policy: PrunePolicy, options?: Work & { dryRun?: boolean }): Promise<PruneReport>;
  /**
   * Makes a real folder of the handle's base (or of `at`), where any program can work; or goes on with a folder that is a mount of
   * this volume already, whatever was edited in it meanwhile. A mount is independent of the handle, and closed with its store at the latest.
   * @throws CairnError `CAIRN_UNCOMMITTED_CHANGES` on a dirty handle, `CAIRN_MOUNT_OWNED` when a living process owns the mount;
   * PathError `ENOTEMPTY` for a folder of something else, `EINVAL` where store and folder would contain each other
   */
  mount(dir: string, options?: MountOptions): Promise<Mount>;
}

/** Kept is what any of the rules keeps. */
export interface PrunePolicy {
  /** The newest so many. */
  keepLast?: number;
  /** Those whose generation is a multiple of this: pruning again by the same rule removes no more. */
  keepEvery?: number;
  /** Those made within this time before now. */
  keepWithinMs?: number;
  /** The `count` (default 1) best by a number in their metadata; of equal ones the newer. */
  keepBest?: { metadata: string; order: 'min' | 'max'; count?: number };
}

/**
 * `freed`: stored bytes that the removed snapshots alone kept, in the whole store: what a collection can then free.
 * `kept` counts the snapshots that remain; `removed` is newest first.
 */
export interface PruneReport {
  removed: SnapshotInfo[];
  kept: number;
  freed: number;
}

export interface FileHandle extends AsyncDisposable {
  /** Reads at `position`, or where the last positionless read or write ended. 0 bytes mean the end of the file. */
  read(buffer: Uint8Array, options?: { position?: number }): Promise<{ bytesRead: number }>;
  write(data: Uint8Array, options?: { position?: number }): Promise<{ bytesWritten: number }>;
  /** Cuts or extends with zeros. Default 0. */
  truncate(size?: number): Promise<void>;
  close(): Promise<void>;
}

export interface Batch {
  putFile(local: string | URL | { data: Bytes }, remotePath: string, options?: { executable?: boolean }): Promise<void>;
  /**
   * Leaves out what the files `.cairnignore` in the folder and its subfolders say, by the rules of gitignore; these files
   * themselves are stored. `ignore`: more such patterns, relative to `localPath`, which win over those files.
   */
  putDirectory(localPath: string, remotePath: string, options?: { ignore?: string[] }): Promise<void>;
}

export interface CommitOptions extends Work {
  message?: string;
  metadata?: Metadata;
  /** What happens to a path that this handle and another commit both changed. Default `last-write-wins`: ours. */
  onConflict?: 'last-write-wins' | 'fail' | ((conflict: Conflict) => 'ours' | 'theirs');
}

export interface CommitResult {
  snapshot: SnapshotInfo;
  changed: boolean;
  /** Files and symlinks that this commit added, modified and removed. */
  added: number;
  modified: number;
  removed: number;
  /** Paths whose version by another commit was replaced by ours; that version stays in history. */
  overwritten: string[];
  /** `logical`: of the files added and modified; `new`: of those, what no chunk in the store held; `stored`: what was written to disk for it. */
  bytes: { logical: number; new: number; stored: number };
}

export interface Change {
  type: 'added' | 'modified' | 'removed';
  path: string;
  before?: FileEntry;
  after?: FileEntry;
  /** Bytes of `after` that lie in chunks which `before` does not have; of a removed file, all its bytes. */
  changedBytes: number;
  /** Where asked for, and a side is a safetensors or GGUF file: its tensors that differ, by name; those of a removed file, too. */
  tensors?: TensorChange[];
}

/** A tensor that differs between two versions of a file, compared block by block; `blocks`: all that it has now, or had. */
export interface TensorChange {
  name: string;
  /** `modified` with no changed block: the same bytes under another dtype or shape, or fewer of them. */
  type: 'added' | 'modified' | 'removed';
  changedBlocks: number;
  /** A block has 1 MiB, the last one of a tensor what is left. */
  blocks: number;
  changedBytes: number;
}

export interface Conflict {
  path: string;
  base?: FileEntry;
  ours?: FileEntry;
  theirs?: FileEntry;
}

export interface MountOptions extends Work {
  /** What a new mount begins with. Default: the handle's base. A folder that is a mount already stays where it stands. */
  at?: Ref;
  /** Files and folders without write bits; `commit()` is refused. */
  readOnly?: boolean;
  /** Shows this folder of the volume as the root. @throws FileNotFoundError where there is none */
  subPath?: string;
  /**
   * Paths in the folder that belong to nobody, by gitignore rules: not stored, not removed. Remembered by the mount. Files named
   * `.cairnignore` in the folder say the same.
   */
  ignore?: string[];
  /** Reloads by itself when anybody commits a newer version, as a network file system would. */
  autoReload?: boolean;
  /** Commits by itself while something changes, and once more on close. */
  backgroundCommit?: boolean | BackgroundCommitOptions;
}

export interface BackgroundCommitOptions {
  /** Default 10 000. */
  intervalMs?: number;
  /** Files that were changed less than this ago wait for the next round. Default 2 000. */
  settleMs?: number;
  /** Also on SIGTERM and SIGINT, which then go on to whoever else handles them, or end the process. Default false. */
  commitOnSignals?: boolean;
}

/** All paths are relative to the folder. */
export interface MountCommitResult extends CommitResult {
  /** Files that kept changing while they were read, and are not in this commit. */
  busy: string[];
  /** What cannot be stored: devices, sockets, pipes, names that are no path of a volume, what may not be read. */
  skipped: string[];
}

export interface MountReloadResult {
  /** Files and symlinks made, replaced and removed. */
  updated: number;
  /** Paths that somebody else had committed and that had been changed here too: they are as they were here. */
  conflicts: string[];
  /** Files that are open for writing: they wait for the next reload. */
  busy: string[];
}

export interface MountReloadOptions extends Work {
  /** What happens to a path that was changed in the folder and by another commit. Default `keep-local`; `fail` touches nothing. */
  onConflict?: 'keep-local' | 'fail';
}

export interface MountStatus {
  /** The version that the folder's files are those of, apart from changes made here. Null: none yet, or one that was pruned and collected. */
  base: SnapshotInfo | null;
  head: SnapshotInfo | null;
  /** Versions that others have committed since. */
  behind: number;
  /** What is not committed. Folders only where they came, or went, with nothing in them. */
  added: string[];
  modified: string[];
  removed: string[];
  /** Of these, files that a process has open for writing, as far as the system tells. */
  busy: string[];
  lastCommit?: MountCommitResult;
  /** Why the last round in the background failed; none when it did not. */
  lastError?: CairnError;
  /** The process that owns the mount; null: none. */
  ownerPid: number | null;
}

export interface MountCloseOptions {
  /** The folder stops being a mount; its files stay. */
  unmount?: boolean;
  /** Unmounts, and removes the files. @throws CairnError `CAIRN_UNCOMMITTED_CHANGES` when something is not committed */
  removeFiles?: boolean;
}

/** What can be done with a mounted folder, whoever owns it. */
export interface MountControl extends AsyncDisposable {
  /** Its real path. */
  readonly dir: string;
  /** How the folder differs from what is committed. */
  status(options?: Work): Promise<MountStatus>;
  /**
   * Publishes what changed in the folder, merged onto the head when that has moved; the folder stays as it is.
   * @throws ConflictError with `onConflict: 'fail'`; ReadOnlyError
   */
  commit(options?: CommitOptions): Promise<MountCommitResult>;
  /** Brings the newest version into the folder; programs with open files go on reading the old ones. @throws ConflictError with `fail` */
  reload(options?: MountReloadOptions): Promise<MountReloadResult>;
  /** Lets go of the folder, which stays a mount: it can be mounted again, by anybody. Idempotent. */
  close(options?: MountCloseOptions): Promise<void>;
}

export interface MountEvents {
  commit: [MountCommitResult];
  reload: [SnapshotInfo];
  /** A round in the background failed; the next one tries again. */
  commitFailed: [CairnError];
}

/** A mounted folder that this process owns. With `backgroundCommit`, `close()` commits once more before. */
export interface Mount extends MountControl, EventEmitter<MountEvents> {
  /** The version that was last brought into the folder, or that it was committed as. Null: none yet, or one that was pruned and collected. */
  readonly base: SnapshotInfo | null;
  readonly readOnly: boolean;
}
