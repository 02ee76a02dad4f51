import { openTemporaryStore, type SnapshotId } from '@cairn/core';
import { expect, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { noise } from '../support/random.js';
import { join } from 'node:path';
import { tempDir } from '../support/temp-dir.js';

test('optimize brings the packs of many commits together, changes no version, and has nothing left to do then', async () => {
  await using store = await openTemporaryStore({ workers: 1 });
  const volume = await store.volumes.fromName('v', { createIfMissing: true });
  const ids: SnapshotId[] = [];
  for (let i = 0; i < 40; i++) {
    await volume.writeFile(`file-${(i * 7) % 40}`, noise(20_000, i));
    ids.push((await volume.commit()).snapshot.id);
  }
  const expected = await store.optimize({ dryRun: true });
  expect(expected.packsBefore).toBe(40);
  expect(expected.packsAfter).toBeLessThanOrEqual(2);
  expect(await store.optimize()).toEqual(expected);
  const found: SnapshotId[] = [];
  for await (const { id } of volume.history()) found.unshift(id);
  expect(found).toEqual(ids);
  for (let i = 0; i < 40; i++) expect(Buffer.compare(await volume.readFile(`file-${(i * 7) % 40}`), noise(20_000, i))).toBe(0);
  expect((await store.verify({ readData: true })).ok).toBe(true);
  const again = await store.optimize();
  expect(again.packsAfter).toBe(again.packsBefore);
  expect(again.storedAfter).toBe(again.storedBefore);
});

test('what optimize wrote lies in the order in which the newest version is read', async () => {
  await using store = await openStoreOn({ durable: false }, join(tempDir(), 'store'), { workers: 1, compression: 'none' });
  const volume = await store.volumes.fromName('v', { createIfMissing: true });
  for (const i of [3, 1, 4, 0, 2]) {
    await volume.writeFile(`file-${i}`, noise(200_000, i));
    await volume.commit();
  }
  await store.optimize();
  const { index } = (store as unknown as { engine: { index: Places } }).engine;
  const places: number[] = [];
  for (let i = 0; i < 5; i++)
    for await (const { digest } of volume.chunks(`file-${i}`)) places.push(index.locate(0, Buffer.from(digest, 'hex')).offset);
  expect(places).toEqual([...places].sort((a, b) => a - b));
  expect(places.length).toBeGreaterThan(5);
});

interface Places {
  locate(kind: number, digest: Uint8Array): { offset: number };
}
