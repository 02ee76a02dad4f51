import type { Store, Work } from '@cairn/core';
import { ClosedError } from '@cairn/core';
import type { Device } from '../device/device.js';
import { HostDevice } from '../device/host-device.js';
import { NotInPlaceError, type GpuError } from '../errors.js';
import type { LoadMetrics } from '../load/metrics.js';
import type { ModelRequest } from '../protocol/messages.js';
import { Registry } from '../registry/registry.js';
import { gauge, metricsText, registryMetrics } from '../service/metrics-text.js';
import { ModelService, type ServedModel } from '../service/model-service.js';
import { Changes } from './changes.js';
import type { Parameters } from './define-model.js';
import { Versions, type Version } from './versions.js';
import { Worker, type WorkerOptions } from './worker.js';

export interface RunnerOptions extends Pick<
  WorkerOptions,
  'stdout' | 'stderr' | 'backoffMs' | 'steadyMs' | 'healthTimeoutMs' | 'healthIntervalMs'
> {
  store: Store;
  /** URL or absolute path of the module whose default export is the model (`defineModel`). */
  module: string | URL;
  parameters?: Parameters;
  /** Inference processes. Default 1. */
  processes?: number;
  /** Default: host memory of the runner's own. One that is given stays the caller's to close. */
  device?: Device;
}

export interface RunnerStatus {
  /** Of the weights; 0 before the first. */
  version: number;
  snapshot: string | undefined;
  processes: { pid: number | undefined; state: string; version: number | undefined; restarts: number; calls: number }[];
}

export interface ReloadOptions extends Work {
  /**
   * In the memory of the version before, of which only what changed is written: there is never more than one version in memory.
   * Calls wait meanwhile. What fails half-way leaves neither version: the processes are started anew then, on the newest one.
   */
  inPlace?: boolean;
}

/** What a reload did. */
export interface ReloadResult {
  changed: boolean;
  version: number;
  snapshot: string;
  /** Of the load; of the one before when nothing changed. */
  metrics: LoadMetrics;
}

/** Inference processes that share one copy of a model: started, kept running, given new versions, and stopped. */
export class Runner implements AsyncDisposable {
  private readonly service: ModelService;
  private readonly device: Device;
  private readonly ownDevice: boolean;
  private readonly workers: Worker[] = [];
  private readonly versions: Versions;
  private reloading: Promise<unknown> = Promise.resolve();
  /** While memory that processes use is being changed, and they have not heard of it. */
  private isChanging = false;
  private readonly changes = new Changes();
  /** Since the last start or reload began. */
  private failures: { worker: Worker; error: GpuError }[] = [];
  private closing: Promise<void> | undefined;

  private constructor(options: RunnerOptions) {
    this.ownDevice = options.device === undefined;
    this.device = options.device ?? new HostDevice();
    this.service = new ModelService({ store: options.store, registry: new Registry({ device: this.device }), device: this.device.id });
    this.versions = new Versions(this.service, {
      loaded: () => this.changes.changed(),
      lost: () => this.workers.forEach((worker) => worker.abandon()),
    });
  }

  /**
   * Starts the processes, and resolves when all of them have entered.
   * @throws GpuError: what the first process fails with; all are stopped then
   */
  static async start(options: RunnerOptions): Promise<Runner> {
    const runner = new Runner(options);
    const { store: _store, module, parameters = {}, processes = 1, device: _device, ...rest } = options;
    const common = {
      ...rest,
      module: String(module),
      parameters,
      weights: (model: ModelRequest) => runner.versions.forProcess(model),
      onReady: () => runner.changes.changed(),
      onIdle: () => runner.changes.changed(),
      onFailure: (worker: Worker, error: GpuError) => {
        runner.failures.push({ worker, error });
        runner.changes.changed();
      },
    };
    for (let i = 0; i < processes; i++) runner.workers.push(new Worker({ ...common, name: `model-${i}` }));
    try {
      await runner.changes.until(() => {
        if (runner.failures.length > 0) throw runner.failures[0]!.error;
        return runner.workers.every(({ version }) => version !== undefined);
      });
    } catch (error) {
      await runner.stop({ graceMs: 1000 });
      throw error;
    }
    return runner;
  }

  /**
   * Runs a method of the model in the process that has the least to do; waits while none is ready.
   * @throws GpuError `CAIRN_GPU_PROCESS_FAILED`; ClosedError
   */
  async call(method: string, ...args: unknown[]): Promise<unknown> {
    let answer: Promise<unknown> | undefined;
    await this.changes.until(() => {
      if (this.closing !== undefined) throw new ClosedError('runner');
      if (this.isChanging) return false;
      const worker = this.workers.filter(({ version }) => version !== undefined).sort((a, b) => a.load - b.load)[0];
      // Sent in the same turn, so that calls made together see each other's load.
      answer = worker?.call(method, args);
      return answer !== undefined;
    });
    return answer;
  }

  /**
   * Moves to the newest version of the model: what did not change is taken over in memory. Resolves when every running process
   * has entered it; the old version's memory goes when the last of them has left it. One reload after the other.
   * @throws what loading throws; then, and when a process cannot enter it, the old version stays in use, unless it was changed
   * in place. NotInPlaceError, with `inPlace`
   */
  reload(options: ReloadOptions = {}): Promise<ReloadResult> {
    const result = this.reloading.then(() => this.reloadNow(options));
    this.reloading = result.catch(() => undefined);
    return result;
  }

  private async reloadNow({ inPlace = false, ...work }: ReloadOptions): Promise<ReloadResult> {
    // None while a change that failed is being made good by a load.
    await this.changes.until(() => this.versions.newest !== undefined || this.closing !== undefined);
    const old = this.versions.newest;
    if (old === undefined || this.closing !== undefined) throw new ClosedError('runner');
    this.isChanging = inPlace;
    try {
      const model = inPlace ? await this.changeInPlace(old, work) : await this.versions.load(work);
      return await this.moveTo(model, old, inPlace);
    } finally {
      this.isChanging = false;
      this.changes.changed();
    }
  }

  /** Has all processes enter a model, unless they have it. */
  private async moveTo(model: ServedModel, old: Version, inPlace: boolean): Promise<ReloadResult> {
    const { snapshot } = model.origin;
    if (model.lease.key === old.model.lease.key) {
      if (model.lease !== old.model.lease) model.release();
      return { changed: false, version: old.number, snapshot, metrics: model.lease.metrics };
    }
    const next = inPlace ? this.versions.newest! : this.versions.add(model);
    this.failures = [];
    for (const worker of this.workers)
      if (worker.version !== undefined) worker.offer({ version: next.number, manifest: model.manifest, inPlace });
    try {
      await this.changes.until(() => {
        if (this.closing !== undefined) throw new ClosedError('runner');
        // One that has ended is started again, with the new version.
        const failed = this.failures.find(({ worker }) => worker.version !== undefined);
        if (failed !== undefined) throw failed.error;
        return this.workers.every(({ version }) => version === undefined || version >= next.number);
      });
    } catch (error) {
      // What they have is not what it was: they start anew.
      if (inPlace) this.workers.filter(({ version }) => version !== next.number).forEach((worker) => worker.abandon());
      // Nobody could use it: processes that start later get the old one again.
      else if (this.workers.every(({ version }) => version !== next.number)) this.versions.drop(next);
      throw error;
    } finally {
      this.versions.releaseBelow(Math.min(...this.workers.map(({ version }) => version ?? Infinity)));
    }
    return { changed: true, version: next.number, snapshot, metrics: model.lease.metrics };
  }

  /** Waits until no process uses the memory, and changes it. */
  private async changeInPlace(old: Version, work: Work): Promise<ServedModel> {
    if (this.versions.count > 1) throw new NotInPlaceError('a process still uses the version before');
    const wake = (): void => this.changes.changed();
    work.signal?.addEventListener('abort', wake);
    try {
      await this.changes.until(() => {
        work.signal?.throwIfAborted();
        if (this.closing !== undefined) throw new ClosedError('runner');
        return this.workers.every(({ isBusy }) => !isBusy);
      });
      return await this.versions.changeInPlace(old, work);
    } finally {
      work.signal?.removeEventListener('abort', wake);
    }
  }

  status(): RunnerStatus {
    const { newest } = this.versions;
    return {
      version: newest?.number ?? 0,
      snapshot: newest?.model.origin.snapshot,
      processes: this.workers.map(({ pid, supervisor, version, load }) => ({
        pid,
        state: supervisor.state,
        version,
        restarts: supervisor.restarts,
        calls: load,
      })),
    };
  }

  /** In the text format of Prometheus. */
  metrics(): string {
    const { version, processes } = this.status();
    return metricsText([
      ...registryMetrics(this.service.registry, this.device),
      gauge('version', 'Number of the version of the weights.', [{ value: version }]),
      gauge('processes_ready', 'Inference processes that have entered.', [
        { value: processes.filter((one) => one.version !== undefined).length },
      ]),
      gauge(
        'process_restarts',
        'How often each process was started again.',
        processes.map(({ restarts }, i) => ({ labels: { process: String(i) }, value: restarts })),
      ),
    ]);
  }

  /** Stops the processes, each given `graceMs` (10 000) to end the calls that it has and to exit, and frees the memory. Idempotent. */
  stop(options?: { graceMs?: number }): Promise<void> {
    return (this.closing ??= (async () => {
      await Promise.all(this.workers.map((worker) => worker.stop(options)));
      this.changes.changed();
      this.versions.releaseAll();
      await this.service.registry.close();
      if (this.ownDevice) await this.device.close();
    })());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}
