import type { Work } from '@cairn/core';
import type { Manifest } from '../protocol/manifest.js';
import type { ModelRequest } from '../protocol/messages.js';
import type { ModelService, ServedModel } from '../service/model-service.js';

/** The weights as they were at some time, counted from 1. */
export interface Version {
  number: number;
  model: ServedModel;
}

/** The versions of a model that a runner holds: the newest, and older ones that some process still uses. */
export class Versions {
  private readonly service: ModelService;
  private readonly hears: { loaded: () => void; lost: () => void };
  private request: ModelRequest | undefined;
  private held: Version[] = [];
  /** How many there have been. */
  private numbered = 0;
  private loading: Promise<unknown> | undefined;
  /** Settles when memory that is being changed in place has changed. */
  private change: Promise<unknown> | undefined;

  /** @param hears `loaded`: a version is there after there was none; `lost`: the memory that processes have is of no version */
  constructor(service: ModelService, hears: { loaded: () => void; lost: () => void }) {
    this.service = service;
    this.hears = hears;
  }

  get newest(): Version | undefined {
    return this.held.at(-1);
  }

  get count(): number {
    return this.held.length;
  }

  /** What a process gets that starts now. All ask for the same model: the first loads it, and one that starts later gets the newest version. */
  async forProcess(request: ModelRequest): Promise<{ version: number; manifest: Manifest }> {
    this.request ??= request;
    await this.change?.catch(() => undefined);
    this.loading ??= this.service.load(this.request).then((model) => {
      this.add(model);
      this.hears.loaded();
    });
    this.loading.catch(() => (this.loading = undefined));
    await this.loading;
    const { number, model } = this.newest!;
    return { version: number, manifest: model.manifest };
  }

  /** The newest of the store, which is none of the versions until it is added. @throws what loading throws */
  load(work: Work): Promise<ServedModel> {
    return this.service.load(this.request!, work);
  }

  add(model: ServedModel): Version {
    const version = { number: ++this.numbered, model };
    this.held.push(version);
    return version;
  }

  /** A version that nobody could use: processes that start later get the one before. */
  drop(version: Version): void {
    this.held = this.held.filter((one) => one !== version);
    version.model.release();
  }

  /**
   * Changes the only version into the newest of the store, in its memory. When that fails half-way there is none left (`lost`), and the
   * next process that starts loads one. @throws what loading throws; NotInPlaceError: nothing has changed
   */
  changeInPlace(old: Version, work: Work): Promise<ServedModel> {
    const change = this.update(old, work).finally(() => (this.change = undefined));
    this.change = change;
    return change;
  }

  /** Lets go of those that are older than all that are used. */
  releaseBelow(oldestUsed: number): void {
    const oldest = Math.min(this.newest?.number ?? 0, oldestUsed);
    for (const { number, model } of this.held) if (number < oldest) model.release();
    this.held = this.held.filter(({ number }) => number >= oldest);
  }

  releaseAll(): void {
    for (const { model } of this.held.splice(0)) model.release();
  }

  /** Who waits for the change to end finds its outcome in what is held, which may be nothing. */
  private async update(old: Version, work: Work): Promise<ServedModel> {
    try {
      const model = await this.service.update(old.model, work);
      if (model.lease !== old.model.lease) this.held = [{ number: ++this.numbered, model }];
      return model;
    } catch (error) {
      if (!old.model.lease.held) {
        this.held = [];
        this.loading = undefined;
        this.hears.lost();
      }
      throw error;
    }
  }
}
