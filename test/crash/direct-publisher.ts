import { changeRefs } from '../../packages/core/dist/publish/change-refs.js';
import { changeVolume } from '../../packages/core/dist/publish/change-volume.js';
import { prepareCollection } from '../../packages/core/dist/publish/clear-up.js';
import { claimCollection, condemn, moveCopies, releaseCollection, retire } from '../../packages/core/dist/publish/collect.js';
import { commit } from '../../packages/core/dist/publish/commit.js';
import type { PublishConfig } from '../../packages/core/dist/publish/messages.js';
import { closeParts, openParts, type PublishParts } from '../../packages/core/dist/publish/parts.js';
import type { EngineClaims, Publisher } from '../../packages/core/dist/publish/publisher.js';
import { doom, sweep } from '../../packages/core/dist/publish/reclaim.js';
import { startUp } from '../../packages/core/dist/publish/start-up.js';
import { publishPacks, retainTrees, storeObjects } from '../../packages/core/dist/publish/store-objects.js';

/** Does on the calling thread, at once, what the publishing thread does: starting one takes longer than all that is asked of it here. */
export class DirectPublisher implements Pick<Publisher, keyof Publisher> {
  readonly lease: string;
  private readonly claims: EngineClaims;
  private readonly config: PublishConfig;
  private opened: PublishParts | undefined;

  constructor(config: PublishConfig, claims: EngineClaims) {
    this.config = config;
    this.claims = claims;
    this.lease = claims.id;
  }

  async catchUp(): Promise<void> {
    changeRefs(await this.parts(), () => undefined);
  }

  async publish(...[packs]: Parameters<Publisher['publish']>): Promise<void> {
    publishPacks(await this.parts(), packs);
  }

  async writeObjects(...[objects, options]: Parameters<Publisher['writeObjects']>): Promise<{ storedBytes: number }> {
    return storeObjects(await this.parts(), [...objects], { pendingEpoch: this.claims.pendingEpoch, ...options });
  }

  async retain(...[roots]: Parameters<Publisher['retain']>): Promise<void> {
    retainTrees(await this.parts(), roots, this.claims.pendingEpoch);
  }

  async change(...[change, checks = {}]: Parameters<Publisher['change']>): ReturnType<Publisher['change']> {
    return changeVolume(await this.parts(), change, checks);
  }

  async commit(...[{ objects, ...order }]: Parameters<Publisher['commit']>): ReturnType<Publisher['commit']> {
    return commit(await this.parts(), { ...order, pendingEpoch: this.claims.pendingEpoch }, objects);
  }

  async prepareCollection(): Promise<void> {
    prepareCollection(await this.parts());
  }

  async claimCollection(...[input]: Parameters<Publisher['claimCollection']>): ReturnType<Publisher['claimCollection']> {
    return claimCollection(await this.parts(), input);
  }

  async releaseCollection(): ReturnType<Publisher['releaseCollection']> {
    releaseCollection(await this.parts());
  }

  async retire(...[input]: Parameters<Publisher['retire']>): ReturnType<Publisher['retire']> {
    return retire(await this.parts(), input);
  }

  async moveCopies(...[input]: Parameters<Publisher['moveCopies']>): ReturnType<Publisher['moveCopies']> {
    return moveCopies(await this.parts(), input);
  }

  async condemn(...[input]: Parameters<Publisher['condemn']>): ReturnType<Publisher['condemn']> {
    return condemn(await this.parts(), input);
  }

  async doom(...[input]: Parameters<Publisher['doom']>): ReturnType<Publisher['doom']> {
    return doom(await this.parts(), input);
  }

  async sweep(...[limit]: Parameters<Publisher['sweep']>): ReturnType<Publisher['sweep']> {
    return sweep(await this.parts(), limit);
  }

  async close(): Promise<void> {
    if (this.opened === undefined) return;
    await closeParts(this.opened);
    this.opened = undefined;
  }

  private async parts(): Promise<PublishParts> {
    if (this.opened !== undefined) return this.opened;
    const parts = await openParts(this.config, this.lease);
    try {
      startUp(parts);
    } catch (error) {
      await closeParts(parts);
      throw error;
    }
    return (this.opened = parts);
  }
}
