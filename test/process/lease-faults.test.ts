import { join } from 'node:path';
import type { Store, Volume } from '@cairn/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { Companion } from '../support/companion.js';
import type { FaultyDiskOptions } from '../support/faulty-disk.mjs';
import { tempDir } from '../support/temp-dir.js';
import { contentOf } from '../support/histories/inspection.mjs';

/** What a process does that only its lease protects, with what it can do afterwards. */
const STORIES = {
  /** Keeps a version open that then leaves the history: it is enough that the lease is there from the beginning. */
  open: ['open', 'read', 'close'],
  /** Refers to bytes in a change, without a commit, that nothing else needs then: so many that they are stored. */
  write: ['write', 'commit', 'drop'],
} as const;

/** A long run lets each call fail. */
const ALL = process.env['CAIRN_TEST_FAULTS'] === 'all';

class Rig {
  readonly dir: string;
  readonly store: Store;
  readonly volume: Volume;
  private number = 0;

  static async make(): Promise<Rig> {
    const dir = join(tempDir(), 'store');
    const store = await openStoreOn({ durable: false }, dir, { workers: 1, mergeSmallPacks: false });
    onTestFinished(() => store.close());
    return new Rig(dir, store, await store.volumes.fromName('v', { createIfMissing: true }));
  }

  private constructor(dir: string, store: Store, volume: Volume) {
    [this.dir, this.store, this.volume] = [dir, store, volume];
  }

  /**
   * Plays a story in which the `call`-th disk call for a lease fails, counted from the start of its process; between its two parts what it
   * relies on leaves the history, and is collected. Tells what came of both.
   */
  async play(story: keyof typeof STORIES, faults: FaultyDiskOptions): Promise<{ first: unknown; then: unknown; fired: boolean }> {
    const [first, then] = STORIES[story];
    const text = `noise:4300000:${++this.number}`;
    await this.volume.reload({ discard: true });
    await this.volume.writeFile('old', contentOf(text));
    await this.volume.commit();
    const companion = await Companion.start(this.dir, { leases: 'only', ...faults });
    if (companion.refused !== undefined) return { first: companion.refused, then: undefined, fired: true };
    const begun = await companion.answers(first, { path: 'again', text });
    await this.volume.writeFile('old', 'new');
    await this.volume.commit();
    await this.volume.prune({ keepLast: 1 });
    await this.store.gc();
    await this.store.gc();
    const done = begun?.['code'] === undefined ? await companion.answers(then) : undefined;
    const { fired } = (await companion.answers('disarm')) as unknown as { fired: boolean };
    companion.child.stop();
    await companion.child.succeeds();
    return { first: begun?.['code'], then: done?.['code'], fired };
  }
}

describe.each(Object.keys(STORIES) as (keyof typeof STORIES)[])('what a process relies on (%s)', (story) => {
  test.each(
    (
      [
        ['EIO', 1],
        ['EIO', 2],
        ['ENOSPC', 2],
      ] as const
    ).filter(([error, times]) => ALL || (error === 'EIO' && times === 2)),
  )('is there as long as it was not told that its lease could not be written: %s, %i in a row', async (error, times) => {
    const rig = await Rig.make();
    const counts = { played: 0, told: 0 };
    for (let call = 1, fired = true; fired; call += ALL ? 1 : 3) {
      const outcome = await rig.play(story, { error, times, failAt: call });
      ({ fired } = outcome);
      counts.played++;
      if (outcome.first === undefined) expect(outcome.then, `call ${call}`).toBeUndefined();
      else {
        counts.told++;
        expect(outcome.first, `call ${call}`).toBe(error);
      }
      expect(await rig.store.verify()).toMatchObject({ ok: true, damage: [] });
    }
    console.log(`${story}, ${error} x ${times}: ${counts.played} played, ${counts.told} told`);
  });

  // Positive control.
  test('would be gone, had the lease not been written', async () => {
    const rig = await Rig.make();
    const outcome = await rig.play(story, { error: 'lost', kinds: ['write'], persistent: true, failAt: 1 });
    expect(outcome).toMatchObject({ first: undefined, then: 'CAIRN_DAMAGED', fired: true });
  });
});
