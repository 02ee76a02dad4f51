import type { Store, Volume } from '@cairn/core';
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { mergeSmallPacks, smallPacks } from '../../packages/core/dist/maintenance/gc/merge-small.js';
import type { CollectParts } from '../../packages/core/dist/maintenance/gc/parts.js';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { noise, randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';

interface Place {
  pack: string;
  offset: number;
  storedLength: number;
}

const PIECE = 40_000;
const FILES = 300;
/** What is always brought together. */
const SMALL = 4 << 20;

async function storeAt(dir: string, maxBytes?: number): Promise<{ store: Store; volume: Volume }> {
  const options = { workers: 1, compression: 'none' as const, mergeSmallPacks: false, ...(maxBytes === undefined ? {} : { maxBytes }) };
  const store = await openStoreOn({ durable: false }, dir, options);
  onTestFinished(() => store.close());
  return { store, volume: await store.volumes.fromName('v', { createIfMissing: true }) };
}

/**
 * Files that were committed in another order than that of their paths, a few at a time. Their packs were brought together behind that, in
 * the order of the commits: into one that is far larger than a small one.
 */
async function scattered({ store, volume }: { store: Store; volume: Volume }, random: (limit: number) => number): Promise<void> {
  const numbers = Array.from({ length: FILES }, (_, i) => i);
  for (let i = FILES - 1; i > 0; i--) {
    const other = random(i + 1);
    [numbers[i], numbers[other]] = [numbers[other]!, numbers[i]!];
  }
  for (const [at, i] of numbers.entries()) {
    await volume.writeFile(nameOf(i), noise(PIECE + i, i));
    if (at % 10 === 9) await volume.commit();
  }
  const { engine } = store as unknown as { engine: CollectParts };
  await mergeSmallPacks(engine, await smallPacks(engine));
}

function nameOf(i: number): string {
  return `folder-${i % 7}/${String(i).padStart(4, '0')}`;
}

/** How often whoever reads the newest version in its order has to go elsewhere in a pack than where he ended there. */
async function jumpsOf(store: Store, volume: Volume): Promise<number> {
  const { index } = (store as unknown as { engine: { index: { refresh(): void; locate(kind: number, digest: Uint8Array): Place } } })
    .engine;
  index.refresh();
  const ends = new Map<string, number>();
  let jumps = 0;
  for (const { path, type } of await volume.listdir('', { recursive: true })) {
    if (type !== 'file') continue;
    for await (const { digest } of volume.chunks(path)) {
      const { pack, offset, storedLength } = index.locate(0, Buffer.from(digest, 'hex'));
      const skipped = offset - (ends.get(pack) ?? offset);
      if (skipped < 0 || skipped > 4096) jumps++;
      ends.set(pack, offset + storedLength);
    }
  }
  return jumps;
}

function packsIn(dir: string): string[] {
  return readdirSync(join(dir, 'packs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.pack'))
    .sort();
}

test('full packs whose chunks lie as they happened to be written are brought in reading order, once, and others left alone', async () => {
  const random = randomFrom(testSeed('reading order'));
  const dir = join(tempDir(), 'store');
  const { store, volume } = await storeAt(dir);
  // As a reader wants it: nothing is to be done for it.
  await volume.writeFile('zz/large', noise(9 << 20, 1_000_000));
  await volume.commit();
  const ordered = packsIn(dir).filter((name) => statSync(join(dir, 'packs', name)).size > SMALL);
  expect(ordered).not.toEqual([]);
  await scattered({ store, volume }, random);
  expect(await jumpsOf(store, volume)).toBeGreaterThan(FILES / 2);

  const expected = await store.optimize({ dryRun: true });
  expect(await store.optimize()).toEqual(expected);
  expect(await jumpsOf(store, volume)).toBe(0);
  const packs = packsIn(dir);
  for (const pack of ordered) expect(packs).toContain(pack);
  for (let i = 0; i < FILES; i += 17) expect(Buffer.compare(await volume.readFile(nameOf(i)), noise(PIECE + i, i))).toBe(0);
  expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });

  const again = await store.optimize();
  expect(again).toEqual({ ...again, packsAfter: again.packsBefore, storedAfter: again.storedBefore });
  expect(packsIn(dir)).toEqual(packs);
}, 120_000);

test('copies in reading order leave the room that the cap of a store gives to commits', async () => {
  const random = randomFrom(testSeed('reading order beside a cap'));
  const dir = join(tempDir(), 'store');
  const first = await storeAt(dir);
  await scattered(first, random);
  await first.store.close();
  const { stored } = await withStore(dir, (store) => store.usage());
  // Room for half a copy, and for a whole one.
  for (const room of [0.5, 2]) {
    const { store, volume } = await storeAt(dir, Math.ceil((1 + room) * stored));
    const before = await jumpsOf(store, volume);
    expect(before).toBeGreaterThan(FILES / 2);
    const expected = await store.optimize({ dryRun: true });
    expect(await store.optimize()).toEqual(expected);
    expect(await jumpsOf(store, volume)).toBe(room < 1 ? before : 0);
    await store.close();
  }
}, 120_000);
