import { availableParallelism } from 'node:os';
import type { GearScanner } from '../chunking/gear.js';
import { WasmGearScanner } from '../chunking/gear.js';
import type { Disk, DiskSpec } from '../disk/disk.js';
import { openDisk } from '../disk/open-disk.js';
import { ClosedError, InvalidArgumentError, ReadOnlyError } from '../errors.js';
import { createHasher } from '../hash/blake3.js';
import type { Hasher } from '../hash/hasher.js';
import { assertIndexCurrent } from '../index/current.js';
import { IndexEnvironment } from '../index/environment.js';
import { IndexReader } from '../index/reader.js';
import { ClaimTable } from '../ingest/claims.js';
import { Ingest } from '../ingest/ingest.js';
import { ObjectReader } from '../objects/object-reader.js';
import { PackFiles } from '../pack/pack-files.js';
import type { StoreFormat } from '../pack/store-format.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { hasLeftovers } from '../publish/leftovers.js';
import { OwnLease } from '../publish/own-lease.js';
import { Publisher } from '../publish/publisher.js';
import { DataReader } from '../reading/data-reader.js';
import type { StoreOptions } from '../types.js';
import { Diagnostics } from '../util/diagnostics.js';
import { Mutex } from '../util/mutex.js';
import type { MountEngine } from '../mount/parts.js';
import type { Mount } from '../types.js';
import type { MountRequest } from '../volume/mount-request.js';
import type { WorkerConfig } from '../workers/config.js';
import { WorkerPool } from '../workers/pool.js';
import { Pressure } from '../workers/pressure.js';
import type { SharedEngine } from './engine-registry.js';
import { isWritable, prepareStoreDir } from './open-dir.js';
import { Tidying } from './tidying.js';

/** Options of the first user of a store in this process, which all others share. */
export interface EngineOptions extends StoreOptions {
  /** How core's own files are written: durably, or not, or through a disk that injects faults. */
  disk: DiskSpec;
}

/** How often the lease of an engine that has versions open for long is moved on. */
const LEASE_INTERVAL_MS = 60_000;

/** One open store of this process: the layers below, wired. Threads start when there is work for them. */
export class StoreEngine implements MountEngine, SharedEngine {
  readonly layout: StoreLayout;
  readonly disk: Disk;
  readonly format: StoreFormat;
  readonly readOnly: boolean;
  readonly workers: number;
  readonly hasher: Hasher;
  readonly index: IndexReader;
  readonly nodes: ObjectReader;
  readonly packs: PackFiles;
  /** How core's own files are written. */
  readonly spec: DiskSpec;
  readonly pool: WorkerPool;
  readonly publisher: Publisher;
  readonly lease: OwnLease;
  readonly ingest: Ingest;
  readonly data: DataReader;
  readonly verifyReads: boolean;
  readonly maxBytes: number;
  readonly diagnostics: Diagnostics;
  readonly mounts = new Set<Mount>();
  /** One collection of this process at a time: in the index they are known by the engine's lease. */
  readonly collecting = new Mutex();
  /** When what dead processes left has been removed, as far as that could be; see `clearUp`. */
  clearedUp: Promise<void> = Promise.resolve();
  private readonly clock: () => Date;
  private readonly underWay = new Set<Promise<unknown>>();
  private madeScanner: GearScanner | undefined;
  private readonly ending = new AbortController();
  private readonly leaseTimer: NodeJS.Timeout;
  private readonly tidying: Tidying | undefined;

  private constructor(layout: StoreLayout, disk: Disk, format: StoreFormat, readOnly: boolean, options: EngineOptions) {
    this.layout = layout;
    this.disk = disk;
    this.format = format;
    this.readOnly = readOnly;
    this.spec = options.disk;
    this.workers = workerCount(options.workers);
    this.verifyReads = options.verifyReads ?? true;
    this.maxBytes = options.maxBytes ?? Infinity;
    this.diagnostics = new Diagnostics(layout.dir, options.logger);
    this.clock = options.clock ?? ((): Date => new Date());
    const hash = options.hash ?? 'auto';
    const compression = options.compression ?? 'fast';
    this.hasher = createHasher(hash);
    const environment = IndexEnvironment.open(layout.indexDir, { durable: options.disk.durable, readOnly });
    this.index = new IndexReader(environment);
    this.packs = new PackFiles(layout);
    this.nodes = new ObjectReader(this.index, this.packs, this.hasher, options.cacheBytes);
    const claims = new ClaimTable();
    const config: WorkerConfig = {
      dir: layout.dir,
      disk: options.disk,
      index: { durable: options.disk.durable, readOnly, expected: environment.identity },
      hash,
      compression,
      // Read when threads are started.
      get claims() {
        return claims.memory;
      },
      pressure: new Pressure().memory,
    };
    this.pool = new WorkerPool(config, this.workers);
    this.lease = new OwnLease({
      disk,
      layout,
      index: this.index,
      identity: environment.identity,
      writable: !readOnly,
      warn: (message) => this.diagnostics.log('warn', message),
    });
    const publishing = { dir: layout.dir, disk: options.disk, hash, compression, maxBytes: options.maxBytes, index: environment.identity };
    this.publisher = new Publisher(publishing, this.lease);
    this.leaseTimer = setInterval(() => this.lease.advance(), LEASE_INTERVAL_MS).unref();
    this.ingest = new Ingest({ workers: this.pool, publisher: this.publisher, claims });
    this.data = new DataReader({ workers: this.pool, disk, index: this.index, layout, hasher: this.hasher });
    this.tidying = (options.mergeSmallPacks ?? true) ? new Tidying(this) : undefined;
  }

  /** @throws StoreFormatError, DamageError, CairnError: see `openStore` */
  static async open(dir: string, options: EngineOptions): Promise<StoreEngine> {
    const disk = await openDisk(options.disk);
    const { layout, format } = prepareStoreDir(dir, disk, {
      create: (options.create ?? true) && options.readOnly !== true,
      allowNetworkFileSystem: options.allowNetworkFileSystem ?? false,
    });
    const engine = new StoreEngine(layout, disk, format, !isWritable(layout.dir), options);
    try {
      engine.lease.ensure();
      assertIndexCurrent(engine.index, layout.refsDir);
    } catch (error) {
      await engine.shutDown();
      throw error;
    }
    return engine;
  }

  /** Has removed what dead processes left, behind the back of whoever opened the store, who may only want to read. */
  clearUp(): void {
    const { layout, index, readOnly, lease, publisher, diagnostics } = this;
    if (readOnly) return;
    // What publishes does this first of all.
    const clearing = this.run(async () => {
      // Whoever opens a store does not wait until all its leases and volumes are looked through.
      await new Promise(setImmediate);
      if (hasLeftovers(layout, index, lease.id)) await publisher.catchUp();
    });
    this.clearedUp = clearing.catch((error: unknown) =>
      diagnostics.log('warn', `what dead processes left stays for now: ${String(error)}`),
    );
  }

  /** Made when something small is first cut on this thread. */
  get scanner(): GearScanner {
    return (this.madeScanner ??= new WasmGearScanner());
  }

  get ended(): AbortSignal {
    return this.ending.signal;
  }

  get dir(): string {
    return this.layout.dir;
  }

  get mountsDir(): string {
    return this.layout.mountsDir;
  }

  committed(): void {
    this.tidying?.afterCommit();
  }

  now(): Date {
    return this.clock();
  }

  /** Loaded when it is used: most who open a store mount nothing. */
  async mount(request: MountRequest): Promise<Mount> {
    const { mountFolder } = await import('../mount/open-folder.js');
    return mountFolder(this, request);
  }

  /** Takes over a folder that is a mount of this store, for a call or two. */
  async resumeMount(dir: string): Promise<Mount> {
    const { resumeFolder } = await import('../mount/open-folder.js');
    return this.run(() => resumeFolder(this, dir));
  }

  assertOpen(): void {
    if (this.ended.aborted) throw new ClosedError('store');
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    this.assertOpen();
    const grip = this.lease.reading();
    const running = work();
    this.underWay.add(running);
    try {
      return await running;
    } finally {
      this.underWay.delete(running);
      grip.release();
    }
  }

  /** @throws ReadOnlyError */
  assertWritable(handleIsReadOnly: boolean): void {
    if (handleIsReadOnly || this.readOnly) throw new ReadOnlyError('this store');
  }

  /** Waits for the calls under way, ends the threads and closes the files. */
  async shutDown(): Promise<void> {
    // No thread of ours keeps the process alive, which would else end in the middle of this.
    const awake = setInterval(() => undefined, 60_000);
    try {
      while (this.mounts.size > 0 || this.underWay.size > 0) {
        await Promise.all([...this.mounts].map((mount) => this.closeMount(mount)));
        await Promise.allSettled(this.underWay);
      }
      this.ending.abort();
      await this.pool.close();
      await this.publisher.close();
      this.lease.remove();
      this.data.close();
      this.packs.closeAll();
      await this.index.close();
    } finally {
      clearInterval(this.leaseTimer);
      clearInterval(awake);
    }
  }

  /** With its last commit, when it makes one; whoever closes the store cannot do anything about its failing. */
  private async closeMount(mount: Mount): Promise<void> {
    try {
      await mount.close();
    } catch (error) {
      this.diagnostics.log('error', `the mount '${mount.dir}' was closed without its last commit: ${String(error)}`);
    } finally {
      this.mounts.delete(mount);
    }
  }
}

function workerCount(workers = availableParallelism()): number {
  if (!Number.isInteger(workers) || workers < 1 || workers > 64) {
    throw new InvalidArgumentError(`no such number of workers: ${workers}`, 'give a whole number from 1 to 64');
  }
  return workers;
}
