import type { GearScanner } from '../chunking/gear.js';
import type { Disk } from '../disk/disk.js';
import type { Hasher } from '../hash/hasher.js';
import type { IndexReader } from '../index/reader.js';
import type { Ingest } from '../ingest/ingest.js';
import type { ObjectReader } from '../objects/object-reader.js';
import type { PublishedObjects } from '../objects/staging.js';
import type { StoreLayout } from '../pack/store-layout.js';
import type { OwnLease } from '../publish/own-lease.js';
import type { Publisher } from '../publish/publisher.js';
import type { DataReader } from '../reading/data-reader.js';
import type { Mount } from '../types.js';
import type { Diagnostics } from '../util/diagnostics.js';
import type { MountRequest } from './mount-request.js';

/** What volumes need of an open store: the parts below them, wired by the layer above. */
export interface Engine {
  readonly layout: StoreLayout;
  /** How files are written, in the store and in users' folders. */
  readonly disk: Disk;
  readonly readOnly: boolean;
  readonly hasher: Hasher;
  /** Finds chunk boundaries of small data on the calling thread. */
  readonly scanner: GearScanner;
  /** Looks up what any process has published. */
  readonly index: IndexReader;
  /** Reads published nodes and records, verified. */
  readonly nodes: PublishedObjects & Pick<ObjectReader, 'keep'>;
  readonly publisher: Publisher;
  /** Tells collectors, of any process, what is in use here. */
  readonly lease: OwnLease;
  readonly ingest: Ingest;
  readonly data: DataReader;
  readonly verifyReads: boolean;
  readonly diagnostics: Diagnostics;
  /** Aborted once the store is closed, for what waits without a call under way. */
  readonly ended: AbortSignal;
  /** Called when a commit has made a snapshot, for what is to be done behind it. */
  committed(): void;
  now(): Date;
  /** Makes a mount: the layer above knows how. */
  mount(request: MountRequest): Promise<Mount>;
  /** @throws ClosedError once the store is closed, by its last user. */
  assertOpen(): void;
  /** Runs a call that must end before the engine closes. @throws ClosedError */
  run<T>(work: () => Promise<T>): Promise<T>;
}
