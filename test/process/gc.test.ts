import { cpSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Store } from '@cairn/core';
import { describe, expect, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { openDirectly } from '../crash/crashed-store.js';
import { Child } from '../support/children.js';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';

const OLD = noise(5 << 20, 1);

/** Which disk calls fail: in a long run each. */
const STRIDE = process.env['CAIRN_SOAK_MINUTES'] === undefined ? 9 : 1;

/** Kills lose nothing that was only not synced. */
function inStore<T>(dir: string, use: (store: Store) => Promise<T>): Promise<T> {
  return withStore(dir, use, (at) => openStoreOn({ durable: false }, at, { workers: 1 }));
}

/** A store with garbage of all kinds once its volume is pruned: packs that are dead, and such that are partly dead, with nodes and with chunks. */
async function makeStore(prune = true): Promise<{ dir: string; file: string }> {
  const dir = join(tempDir(), 'store');
  const file = join(tempDir(), 'old');
  writeFileSync(file, OLD);
  await inStore(dir, async (store) => {
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    await volume.writeFile('large', OLD);
    for (let i = 0; i < 4; i++) {
      await volume.writeFile(`small-${i % 3}`, noise(60_000, 10 + i));
      if (i === 2) await volume.writeFile('large', noise(5 << 20, 2));
      await volume.commit({ message: String(i) });
    }
    if (prune) await volume.prune({ keepLast: 1 });
  });
  return { dir, file };
}

function copyOf(dir: string): string {
  const copy = join(tempDir(), 'store');
  cpSync(dir, copy, { recursive: true });
  return copy;
}

async function expectWhole(store: Store, { readData = true } = {}): Promise<void> {
  const volume = await store.volumes.fromName('v');
  expect(Buffer.compare(await volume.readFile('large'), noise(5 << 20, 2))).toBe(0);
  for (const [name, seed] of [
    ['small-0', 13],
    ['small-1', 11],
    ['small-2', 12],
  ] as const)
    // prettier-ignore
    expect(Buffer.compare(await volume.readFile(name), noise(60_000, seed))).toBe(0);
  await volume.close();
  expect(await store.verify({ readData })).toMatchObject({ ok: true, damage: [] });
}

function packsOf(dir: string): string[] {
  return readdirSync(join(dir, 'packs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.pack'));
}

describe('a collection', () => {
  test.each(['gc', 'optimize'] as const)(
    'of %s that is killed at any of its disk calls loses nothing, and the next one ends what it began',
    async (call) => {
      let kills = 0;
      const template = await makeStore();
      for (let failAt = 1; ; failAt += STRIDE) {
        const dir = copyOf(template.dir);
        const child = Child.start('collector.mjs', { dir, call, faults: { failAt, error: failAt % 2 === 0 ? 'tear' : 'kill' } });
        const { signal, stderr } = await child.ended;
        expect(stderr).toBe('');
        const { store } = await openDirectly(dir);
        try {
          await expectWhole(store, { readData: false });
          await store[call]();
          await expectWhole(store);
          expect(await store.gc()).toMatchObject({ packsDropped: 0, packsRewritten: 0, waiting: 0 });
          const { packsBefore, packsAfter } = await store.optimize({ dryRun: true });
          if (call === 'optimize') expect(packsAfter).toBe(packsBefore);
          const { stored, unreachable } = await store.usage();
          expect(unreachable).toBeLessThanOrEqual(0.05 * stored);
          expect(stored).toBeLessThan(5_600_000);
          expect(packsOf(dir).length).toBeLessThanOrEqual(5);
          expect(readdirSync(join(dir, 'packs', 'incoming'))).toEqual([]);
        } finally {
          await store.close();
        }
        if (signal === null) break;
        kills++;
      }
      expect(kills).toBeGreaterThan(20 / STRIDE - 2);
      console.log(`${kills} kills of ${call}`);
    },
    300_000,
  );

  test('waits for what another process has not committed, and for what it has open; then takes what it let go', async () => {
    const { dir, file } = await makeStore();
    // Its changes refer to what nothing else needs any more, and is still there.
    const child = Child.start('drafter.mjs', { dir, volume: 'v', path: 'again', file, baseFile: 'small-0' });
    await child.hears(({ say }) => say === 'ready');
    await inStore(dir, async (store) => {
      const volume = await store.volumes.fromName('v');
      // What it has open leaves the history.
      await volume.writeFile('small-0', noise(60_000, 20));
      await volume.commit();
      await volume.prune({ keepLast: 1 });
      const blocked = await store.gc();
      const lease = {
        lease: expect.any(String) as string,
        pid: expect.any(Number) as number,
        since: expect.any(Date) as Date,
        holds: 'both',
      };
      expect(blocked.blockedBy).toEqual([lease]);
      expect(blocked.waiting).toBeGreaterThan(0);
      expect(blocked.held).toBeGreaterThan(60_000);
      expect(await store.usage()).toMatchObject({ held: blocked.held, waiting: blocked.waiting });
      child.tell({ order: 'read' });
      await child.hears(({ say }) => say === 'read');
      child.tell({ order: 'commit' });
      await child.hears(({ say }) => say === 'commit');
      await store.gc();
      await volume.reload();
      expect(Buffer.compare(await volume.readFile('again'), OLD)).toBe(0);
      await volume.writeFile('small-0', noise(60_000, 13));
      await volume.commit();
      await expectWhole(store);
      child.tell({ order: 'read' });
      await child.hears(({ say }) => say === 'read');
      child.stop();
      await child.succeeds();
      await volume.close();
      await store.gc();
      expect(await store.gc()).toMatchObject({ packsDropped: 0, packsRewritten: 0, waiting: 0, held: 0, blockedBy: [] });
      expect(await store.usage()).toMatchObject({ held: 0, waiting: 0 });
      const { stored, unreachable } = await store.usage();
      expect(unreachable).toBeLessThanOrEqual(0.05 * stored);
    });
  }, 120_000);

  test('takes what a process has left that died with changes and versions open', async () => {
    const { dir, file } = await makeStore(false);
    const child = Child.start('drafter.mjs', { dir, volume: 'v', path: 'again', file, baseFile: 'large' });
    await child.hears(({ say }) => say === 'ready');
    await child.kill();
    await inStore(dir, async (store) => {
      const volume = await store.volumes.fromName('v');
      await volume.prune({ keepLast: 1 });
      await volume.close();
      expect(await store.gc()).toMatchObject({ waiting: 0, blockedBy: [] });
      await expectWhole(store);
      expect((await store.usage()).stored).toBeLessThan(5_600_000);
      expect(readdirSync(join(dir, 'leases'))).toHaveLength(1);
    });
  }, 120_000);

  test('makes stray packs known before it takes them', async () => {
    const { dir, file } = await makeStore(false);
    // Sealed, and its process killed before the journal, or the index, heard of it.
    const faults = { error: 'kill', failAt: 1, kinds: ['link'] };
    const child = Child.start('drafter.mjs', { dir, volume: 'v', path: 'again', file, baseFile: 'large', faults });
    await child.hears(({ say }) => say === 'ready');
    child.tell({ order: 'commit' });
    expect((await child.ended).signal).toBe('SIGKILL');
    await inStore(dir, async (store) => (await store.volumes.fromName('v')).prune({ keepLast: 1 }));
    await inStore(dir, async (store) => {
      const before = packsOf(dir).length;
      await store.gc();
      await store.gc();
      await expectWhole(store);
      expect(packsOf(dir).length).toBeLessThan(before);
      expect((await store.usage()).stored).toBeLessThan(5_600_000);
    });
  }, 120_000);
});
