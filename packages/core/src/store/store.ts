import { ClosedError } from '../errors.js';
import { assertBreakable, breakLease, forgetMount, givenUpMount } from '../maintenance/gc/by-hand.js';
import { listMounts } from '../mount/roots.js';
import { collect, type CollectOptions } from '../maintenance/gc/collection.js';
import type { Outcome } from '../maintenance/gc/report.js';
import { measureUsage } from '../maintenance/usage.js';
import { verifyStore } from '../maintenance/verify.js';
import type { GcOptions, GcReport, OptimizeReport, Store, StoreInfo, StoreOptions, Usage, VerifyReport, Volumes, Work } from '../types.js';
import type { StoreEngine } from './engine.js';
import { StoreVolumes } from './volumes.js';

/** One user's handle of an open store. */
export class StoreHandle implements Store {
  readonly volumes: Volumes;
  private readonly engine: StoreEngine;
  private readonly readOnly: boolean;
  private readonly release: () => Promise<void>;
  private closed = false;

  constructor(engine: StoreEngine, release: () => Promise<void>, options: StoreOptions) {
    this.engine = engine;
    this.release = release;
    this.readOnly = options.readOnly === true || engine.readOnly;
    this.volumes = new StoreVolumes(engine, this.readOnly, () => this.assertOpen());
  }

  info(): StoreInfo {
    this.assertOpen();
    const { layout, format, hasher, workers } = this.engine;
    return {
      dir: layout.dir,
      id: format.storeId,
      formatVersion: format.version,
      readOnly: this.readOnly,
      hash: hasher.implementation,
      workers,
    };
  }

  async usage(work: Work = {}): Promise<Usage> {
    this.assertOpen();
    return this.engine.run(() => measureUsage(this.engine, work));
  }

  async verify(options: Work & { readData?: boolean } = {}): Promise<VerifyReport> {
    this.assertOpen();
    return this.engine.run(() => verifyStore(this.engine, options));
  }

  async gc({ breakLease: lease, forgetMount: mount, ...options }: GcOptions = {}): Promise<GcReport> {
    this.assertWritable();
    const { engine } = this;
    await engine.clearedUp;
    if (options.dryRun === true) {
      if (lease !== undefined) assertBreakable(engine, lease);
      if (mount !== undefined) givenUpMount(listMounts(engine.mountsDir, engine.hasher), mount);
    } else {
      if (lease !== undefined) breakLease(engine, lease);
      if (mount !== undefined) await engine.run(() => forgetMount(engine, mount));
    }
    const {
      packsWritten: _written,
      before: _before,
      ...report
    } = await this.collect({ ...options, merge: false, given: { lease, mount } });
    return report;
  }

  async optimize(options: Work & { dryRun?: boolean } = {}): Promise<OptimizeReport> {
    this.assertWritable();
    await this.engine.clearedUp;
    const { before, ...outcome } = await this.collect({ ...options, merge: true });
    return {
      packsBefore: before.packs,
      packsAfter: before.packs - outcome.packsDropped - outcome.packsRewritten + outcome.packsWritten,
      storedBefore: before.bytes,
      storedAfter: outcome.live,
    };
  }

  private collect(options: CollectOptions): Promise<Outcome> {
    return this.engine.collecting.run(() => collect(this.engine, options));
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.release();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private assertWritable(): void {
    this.assertOpen();
    this.engine.assertWritable(this.readOnly);
  }

  private assertOpen(): void {
    if (this.closed) throw new ClosedError('store');
  }
}
