import { ClosedError, type ReadView, type Work } from '@cairn/core';
import type { Device, Region } from '../device/device.js';
import { NotInPlaceError, OutOfMemoryError } from '../errors.js';
import type { LoadJob, LoadOptions } from '../load/job.js';
import { fillRegions, loadRegions } from '../load/loader.js';
import type { LoadMetrics } from '../load/metrics.js';
import type { LoadPlan } from '../plan/load-plan.js';
import type { Entry, Loaded } from './entry.js';
import { inPlaceJob, refreshJob, takeInventory } from './inventory.js';
import { leaseOn, type Holding, type Lease } from './lease.js';
import { Shelf } from './shelf.js';
import { countLoad, noCounts, type ModelStatus, type RegistryCounters } from './status.js';

export interface RegistryOptions {
  device: Device;
  /** The most memory that models take together. Default: what the device has. */
  budgetBytes?: number;
  load?: Pick<LoadOptions, 'verify' | 'ring'>;
}

export interface AcquireOptions extends Work {
  /** Name of what this is a version of, such as volume and path. The newest loaded version of it gives what it has in common, and goes when nobody uses it. */
  lineage?: string;
}

/** Loads each model once, shares it, and evicts what nobody uses when room is needed. */
export class Registry implements AsyncDisposable {
  readonly counters: RegistryCounters = noCounts();
  readonly budgetBytes: number;
  readonly device: Device;
  private readonly load: Pick<LoadOptions, 'verify' | 'ring'>;
  private readonly shelf: Shelf;
  private readonly holdings = new WeakMap<Lease, Holding>();
  /** Loads that nobody waits for any more, and that have not ended yet: they still have their memory. */
  private readonly ending = new Set<Promise<unknown>>();
  private closed = false;

  constructor({ device, budgetBytes, load = {} }: RegistryOptions) {
    this.device = device;
    this.budgetBytes = Math.min(budgetBytes ?? Infinity, device.info().capacityBytes);
    this.load = load;
    this.shelf = new Shelf(device, this.budgetBytes, this.counters);
  }

  /**
   * A lease on the model of a plan: loaded from `view` unless it is there. Requests for the same content join one load, which
   * goes on until the last of them is aborted.
   *
   * @throws ModelTooLargeError, OutOfMemoryError; what the load throws; the signal's reason
   */
  async acquire(view: ReadView, plan: LoadPlan, options: AcquireOptions = {}): Promise<Lease> {
    if (this.closed) throw new ClosedError('registry');
    options.signal?.throwIfAborted();
    const known = this.shelf.get(plan.key);
    const entry = known ?? this.begin(view, plan, options);
    if (known !== undefined) this.counters.hits++;
    this.shelf.use(entry);
    return this.whenLoaded(entry, plan, { shared: known !== undefined, signal: options.signal });
  }

  /**
   * Changes a model's memory into that of another plan where it is: only what differs is read and written, and whoever has the
   * memory open sees it happen. For the only lease on the model; it is used up as soon as writing begins, and gives way to the one
   * that is returned.
   *
   * @throws NotInPlaceError when that cannot be done, and what taking stock throws: nothing has changed then, and the lease is held.
   * What loading throws, and the signal's reason: the memory is that of neither version then, and freed.
   */
  async update(lease: Lease, view: ReadView, plan: LoadPlan, { signal, onProgress }: Work = {}): Promise<Lease> {
    if (plan.key === lease.key && lease.held) return lease;
    const inventory = await takeInventory(view, plan);
    // Between these checks and the change nobody else gets a turn.
    const holding = this.holdings.get(lease);
    const old = holding?.entry;
    if (this.closed || !lease.held || holding === undefined || old?.result === undefined) throw new ClosedError('lease');
    if (old.users > 1) throw new NotInPlaceError('others use it');
    if (this.shelf.get(plan.key) !== undefined) throw new NotInPlaceError('the newer version is in memory already');
    const job = inPlaceJob({ plan, inventory }, { plan: old.plan, inventory: old.result.inventory });
    if (job === undefined) throw new NotInPlaceError('its memory would be laid out otherwise');
    signal?.throwIfAborted();
    holding.held = false;
    this.shelf.takeAway(old);
    this.counters.updates++;
    const abort = new AbortController();
    const loaded = this.change(view, job, old.result.regions, { ...this.load, onProgress, signal: abort.signal });
    const entry = this.follow(
      plan,
      old.lineage,
      abort,
      loaded.then((metrics) => ({ regions: old.result!.regions, metrics, inventory })),
    );
    this.shelf.use(entry);
    return this.whenLoaded(entry, plan, { shared: false, signal });
  }

  /** Loads a plan into regions of the caller's, which share nothing and are not kept. Freeing them stays the caller's. */
  async fill(view: ReadView, plan: LoadPlan, regions: readonly Region[], work: Work = {}): Promise<void> {
    if (this.closed) throw new ClosedError('registry');
    const metrics = await fillRegions(view, plan, regions, this.device, { ...this.load, ...work });
    this.counters.fills++;
    countLoad(this.counters, metrics);
  }

  list(): ModelStatus[] {
    return this.shelf.list();
  }

  /** Frees what nobody uses. */
  evictIdle(): void {
    for (const entry of this.shelf.idle()) this.shelf.evict(entry);
  }

  /** Ends loads under way, and frees everything: regions may not be touched through leases afterwards. */
  async close(): Promise<void> {
    this.closed = true;
    const entries = this.shelf.takeAll();
    for (const { abort } of entries) abort.abort(new ClosedError('registry'));
    await Promise.allSettled(entries.map(({ loaded }) => loaded));
    for (const { result } of entries) for (const region of result?.regions ?? []) this.device.free(region);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private begin(view: ReadView, plan: LoadPlan, { lineage, onProgress }: AcquireOptions): Entry {
    const basis = this.shelf.newestOf(lineage);
    if (basis !== undefined) this.shelf.use(basis);
    try {
      this.shelf.makeRoom(plan.totalBytes, basis);
    } catch (error) {
      if (basis !== undefined) this.shelf.unuse(basis);
      throw error;
    }
    // When there is no room for both, the old version gave way, and all of the new one is read.
    const source = basis !== undefined && this.shelf.holds(basis) ? basis : undefined;
    const abort = new AbortController();
    const loaded = this.bring(view, plan, source, { ...this.load, onProgress, signal: abort.signal });
    loaded.finally(() => source !== undefined && this.shelf.unuse(source)).catch(() => undefined);
    this.counters.loads++;
    return this.follow(plan, lineage, abort, loaded);
  }

  /** An entry that is there from now on, and has its result when there is one. */
  private follow(plan: LoadPlan, lineage: string | undefined, abort: AbortController, loaded: Promise<Loaded>): Entry {
    const entry: Entry = { key: plan.key, plan, lineage, users: 0, loaded, result: undefined, lastUse: 0, abort, superseded: false };
    this.shelf.put(entry);
    const noteEnding = (): void => {
      const end: Promise<unknown> = loaded.catch(() => undefined).then(() => this.ending.delete(end));
      this.ending.add(end);
    };
    abort.signal.addEventListener('abort', noteEnding, { once: true });
    loaded.then(
      (result) => {
        // Everybody who wanted it was gone when the last byte came.
        if (abort.signal.aborted) for (const region of result.regions) this.device.free(region);
        else entry.result = result;
        countLoad(this.counters, result.metrics);
      },
      () => {
        this.counters.failures++;
        this.shelf.takeAway(entry);
      },
    );
    return entry;
  }

  /** A lease for a user that is counted already. */
  private async whenLoaded(entry: Entry, plan: LoadPlan, { shared, signal }: { shared: boolean; signal: Work['signal'] }): Promise<Lease> {
    try {
      const loaded = await settled(entry.loaded, signal);
      this.shelf.supersedeOthers(entry);
      const { lease, holding } = leaseOn(entry, plan, loaded, { shared, release: () => this.shelf.unuse(entry) });
      this.holdings.set(lease, holding);
      return lease;
    } catch (error) {
      this.shelf.unuse(entry);
      throw error;
    }
  }

  /** Fills regions that hold something: they are freed when it fails, since nobody could say what they hold then. */
  private async change(view: ReadView, job: LoadJob, regions: readonly Region[], options: LoadOptions): Promise<LoadMetrics> {
    try {
      return await fillRegions(view, job, regions, this.device, options);
    } catch (error) {
      for (const region of regions) this.device.free(region);
      throw error;
    }
  }

  /** @param source an older version to copy from, which this load uses */
  private async bring(view: ReadView, plan: LoadPlan, source: Entry | undefined, options: LoadOptions): Promise<Loaded> {
    const inventory = await takeInventory(view, plan);
    for (;;) {
      const basis = source !== undefined && this.shelf.holds(source) ? source.result : undefined;
      const job = basis === undefined ? plan : refreshJob(plan, inventory, basis.inventory, basis.regions);
      try {
        return { ...(await loadRegions(view, job, this.device, options)), inventory };
      } catch (error) {
        // The device has less than the budget says: memory that others took, or whole granules. It tells before anything is read.
        if (!(error instanceof OutOfMemoryError)) throw error;
        options.signal?.throwIfAborted();
        if (this.ending.size > 0) {
          await Promise.all(this.ending);
          continue;
        }
        // The older version last, when nobody else uses it: without it all is read.
        const idle = this.shelf.idle()[0] ?? (basis !== undefined && source?.users === 1 ? source : undefined);
        if (idle === undefined) throw error;
        this.shelf.evict(idle);
      }
    }
  }
}

/** The promise, or the signal's reason as soon as it is aborted. */
async function settled<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  if (signal.aborted) throw signal.reason;
  let onAbort!: () => void;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
