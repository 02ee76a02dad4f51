import type { Snapshot, Store, Volume, Work } from '@cairn/core';
import type { Region } from '../device/device.js';
import { ModelNotFoundError } from '../errors.js';
import type { LoadPlan } from '../plan/load-plan.js';
import { isMissing } from '../plan/model-files.js';
import { checkRequest, layoutOf } from '../plan/request.js';
import { descriptorsOf, manifestOf, plannedManifest, type Manifest, type ModelOrigin } from '../protocol/manifest.js';
import type { ModelRequest } from '../protocol/messages.js';
import type { Lease } from '../registry/lease.js';
import type { Registry } from '../registry/registry.js';
import { KnownPlans } from './known-plans.js';

/** A model in memory, with a lease on it. */
export interface ServedModel extends Disposable {
  readonly origin: ModelOrigin;
  readonly request: ModelRequest;
  readonly lease: Lease;
  /** In the order of `manifest.regions` that have one; open until `release`, and for reading only. */
  readonly descriptors: readonly number[];
  /** With paths that other processes can open while this lease lasts. */
  readonly manifest: Manifest;
  release(): void;
}

/** From a name to memory: finds a model in a store, plans, and loads it through the registry. */
export class ModelService {
  readonly registry: Registry;
  readonly device: string;
  private readonly store: Store;
  private readonly plans = new KnownPlans();

  constructor({ store, registry, device }: { store: Store; registry: Registry; device: string }) {
    this.store = store;
    this.registry = registry;
    this.device = device;
  }

  /**
   * Loads a model, or shares it when it is there.
   * @throws ModelNotFoundError when volume or path are not there, also after a `reload()`; else what planning and loading throw
   */
  async load(wanted: ModelRequest, work: Work = {}): Promise<ServedModel> {
    return this.withPlan(wanted, async (snapshot, plan, request) => {
      const { volume, path, ref } = request;
      // Versions of one model have something in common when they are laid out alike.
      const lineage = JSON.stringify([volume, path, ref ?? 'HEAD', layoutOf(request), request.slice]);
      return this.served(request, snapshot, await this.registry.acquire(snapshot, plan, { ...work, lineage }));
    });
  }

  /**
   * Changes a model that is loaded into what a load would give now, in the memory where it is; the given one is used up, unless
   * there is nothing newer. @throws what `Registry.update` throws; ModelNotFoundError
   */
  async update(model: ServedModel, work: Work = {}): Promise<ServedModel> {
    return this.withPlan(model.request, async (snapshot, plan, request) =>
      this.served(request, snapshot, await this.registry.update(model.lease, snapshot, plan, work)),
    );
  }

  /** What a load would give now, without loading it. */
  async look(wanted: ModelRequest): Promise<{ key: string; snapshot: string }> {
    const { key, snapshot } = await this.plan(wanted);
    return { key, snapshot };
  }

  /** The same as a manifest, whose regions have sizes but no memory. */
  async plan(wanted: ModelRequest): Promise<Manifest> {
    return this.withPlan(wanted, async (snapshot, plan, request) => plannedManifest(originOf(snapshot, request), this.device, plan));
  }

  /**
   * Fills memory that somebody else made: `obtain` gives regions of the sizes that the plan has, which are let go afterwards, however it
   * ends. @throws what `obtain` and loading throw; ModelNotFoundError
   */
  async fill(wanted: ModelRequest, obtain: (plan: LoadPlan) => Promise<Region[]>, work: Work = {}): Promise<Manifest> {
    return this.withPlan(wanted, async (snapshot, plan, request) => {
      const regions = await obtain(plan);
      try {
        await this.registry.fill(snapshot, plan, regions, work);
      } finally {
        for (const region of regions) this.registry.device.free(region);
      }
      return plannedManifest(originOf(snapshot, request), this.device, plan);
    });
  }

  private served(request: ModelRequest, snapshot: Snapshot, lease: Lease): ServedModel {
    const origin = originOf(snapshot, request);
    const manifest = manifestOf(origin, this.device, lease, (descriptor) => `/proc/${process.pid}/fd/${descriptor}`);
    const release = (): void => lease.release();
    return { origin, request, lease, descriptors: descriptorsOf(lease), manifest, release, [Symbol.dispose]: release };
  }

  private async withPlan<T>(
    wanted: ModelRequest,
    use: (snapshot: Snapshot, plan: LoadPlan, request: ModelRequest) => Promise<T>,
  ): Promise<T> {
    const request = checkRequest(wanted) as ModelRequest;
    const { volume: name, path, ref = 'HEAD' } = request;
    const place = `${name}@${ref}:/${path}`;
    await using volume = await this.open(name, place);
    for (let attempt = 0; ; attempt++) {
      try {
        await using snapshot = await volume.snapshot(ref);
        return await use(snapshot, await this.plans.planOf(snapshot, request), request);
      } catch (error) {
        if (!isMissing(error) && !(error instanceof Error && 'ref' in error)) throw error;
        if (attempt > 0) throw new ModelNotFoundError(place, error);
        // Somebody may have committed it since the volume was opened.
        await volume.reload();
      }
    }
  }

  private async open(name: string, place: string): Promise<Volume> {
    try {
      return await this.store.volumes.fromName(name, { readOnly: true });
    } catch (error) {
      throw isMissing(error) ? new ModelNotFoundError(place, error) : error;
    }
  }
}

function originOf(snapshot: Snapshot, { volume, path }: ModelRequest): ModelOrigin {
  return { volume, path, snapshot: snapshot.info.id };
}
