/**
 * Cairn: an embedded, content-addressed store for model weights.
 *
 * `openStore` opens a folder; its `volumes` hold files with history; see `Store`, `Volume` and `Snapshot`.
 * @packageDocumentation
 */
export { openMount } from './store/open-mount.js';
export { openStore, openTemporaryStore } from './store/open-store.js';
export { repairStore } from './store/repair-store.js';
export type { RepairOptions } from './store/repair-store.js';
export {
  AlreadyExistsError,
  CairnError,
  ClosedError,
  ConflictError,
  DamageError,
  FileExistsError,
  FileNotFoundError,
  InvalidArgumentError,
  InvalidError,
  InvalidNameError,
  InvalidPathError,
  MountOwnedError,
  NotFoundError,
  PathError,
  ReadOnlyError,
  SnapshotNotFoundError,
  SourceChangedError,
  StoreFormatError,
  StoreFullError,
  VolumeExistsError,
  VolumeNotFoundError,
  WorkerDiedError,
  isCairnError,
} from './errors.js';
export type { CairnErrorOptions, Damage, ErrorCode } from './errors.js';
export { dtypeBlock } from './chunking/dtypes.js';
export type { DtypeBlock } from './chunking/dtypes.js';
export type { ContentId } from './content/content.js';
export type { HashImplementation } from './hash/hasher.js';
export type {
  BackgroundCommitOptions,
  Batch,
  Bytes,
  Change,
  ChunkInfo,
  CommitOptions,
  CommitResult,
  Conflict,
  FileEntry,
  FileHandle,
  GcOptions,
  GcReport,
  Metadata,
  Mount,
  MountCloseOptions,
  MountCommitResult,
  MountControl,
  MountEvents,
  MountOptions,
  MountReloadOptions,
  MountReloadResult,
  OptimizeReport,
  MountStatus,
  Progress,
  PrunePolicy,
  PruneReport,
  ReadRequest,
  ReadView,
  Ref,
  JournalRepair,
  RepairReport,
  Snapshot,
  SnapshotId,
  SnapshotInfo,
  Store,
  StoreInfo,
  StoreOptions,
  TensorChange,
  TensorInfo,
  Usage,
  VerifyReport,
  Volume,
  VolumeInfo,
  Volumes,
  Work,
} from './types.js';
