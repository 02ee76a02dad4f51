import { changeRefs } from '../../packages/core/dist/publish/change-refs.js';
import { changeVolume } from '../../packages/core/dist/publish/change-volume.js';
import { commit } from '../../packages/core/dist/publish/commit.js';
import { ensureLease, removeOwnLease } from '../../packages/core/dist/publish/leases.js';
import type { PublishConfig } from '../../packages/core/dist/publish/messages.js';
import { closeParts, openParts, type PublishParts } from '../../packages/core/dist/publish/parts.js';
import type { Publisher } from '../../packages/core/dist/publish/publisher.js';
import { startUp } from '../../packages/core/dist/publish/start-up.js';
import { publishPacks, storeObjects } from '../../packages/core/dist/publish/store-objects.js';
import { randomBytes } from 'node:crypto';

/** Does on the calling thread, at once, what the publishing thread does: starting one takes longer than all that is asked of it here. */
export class DirectPublisher implements Pick<Publisher, keyof Publisher> {
  readonly lease = randomBytes(16).toString('hex');
  private readonly config: PublishConfig;
  private opened: PublishParts | undefined;

  constructor(config: PublishConfig) {
    this.config = config;
  }

  async ensureLease(): Promise<string> {
    ensureLease(await this.parts());
    return this.lease;
  }

  async catchUp(): Promise<void> {
    changeRefs(await this.parts(), () => undefined);
  }

  async publish(...[packs]: Parameters<Publisher['publish']>): Promise<void> {
    publishPacks(await this.parts(), packs);
  }

  async writeObjects(...[objects]: Parameters<Publisher['writeObjects']>): Promise<{ storedBytes: number }> {
    return storeObjects(await this.parts(), [...objects]);
  }

  async change(...[change, checks = {}]: Parameters<Publisher['change']>): ReturnType<Publisher['change']> {
    return changeVolume(await this.parts(), change, checks);
  }

  async commit(...[{ objects, ...order }]: Parameters<Publisher['commit']>): ReturnType<Publisher['commit']> {
    return commit(await this.parts(), order, objects);
  }

  async close(): Promise<void> {
    if (this.opened === undefined) return;
    removeOwnLease(this.opened);
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
