import fs from 'node:fs';
import path from 'node:path';
import { openTemporaryStore, type ReadView, type Store, type Volume } from '@cairn/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { safetensorsHeader } from '../chunking/samples.js';
import { collect, expectSameBytes, noise, temporaryStore, volumeV } from '../contract/support.js';
import { everyFile } from '../support/every-file.js';
import { tempDir } from '../support/temp-dir.js';

const RUNS = Number(process.env['CAIRN_TEST_RUNS'] ?? 8);
/** What a commit of a few files may take besides data: nodes, a record, a pack's footer. */
const OVERHEAD_BYTES = 20_000;

/** Stored bytes of the distinct chunks of all versions of all named volumes. */
async function distinctChunks(store: Store): Promise<{ bytes: number; ids: Set<string> }> {
  const stored = new Map<string, number>();
  for await (const { snapshot, entry } of everyFile(store)) {
    for await (const { digest, storedLength } of snapshot.chunks(entry.path)) stored.set(digest, storedLength);
  }
  return { bytes: [...stored.values()].reduce((sum, bytes) => sum + bytes, 0), ids: new Set(stored.keys()) };
}

/** Stored chunks by what the packs' own object tables say, as docs/format.md draws them. */
function packedChunks(store: Store): string[] {
  const packs = path.join(store.info().dir, 'packs');
  const files = fs.readdirSync(packs, { recursive: true, encoding: 'utf8' }).filter((name) => /^[0-9a-f]{2}\/.*\.pack$/.test(name));
  return files.flatMap((name) => {
    const pack = fs.readFileSync(path.join(packs, name));
    const rows = pack.readUInt32LE(pack.length - 80 + 24);
    const table = pack.length - 80 - rows * 56;
    return Array.from({ length: rows }, (_, i) => pack.subarray(table + i * 56, table + (i + 1) * 56)).flatMap((row) =>
      row[48] === 0 ? [row.toString('hex', 0, 32)] : [],
    );
  });
}

async function contentIds(view: ReadView, folder = ''): Promise<Record<string, unknown>> {
  const entries = await view.listdir(folder, { recursive: true });
  return Object.fromEntries(
    entries.map(({ path: name, type, contentId, executable, symlinkTarget }) => [
      name.slice(folder === '' ? 0 : folder.length + 1),
      { type, contentId, executable, symlinkTarget },
    ]),
  );
}

describe('equal chunks', () => {
  test('are stored once, across files, versions, volumes and ways of storing, whatever is stored', async () => {
    // Few seeds and sizes, so that files share all, their beginnings, or nothing.
    const bytes = fc
      .tuple(fc.constantFrom(0, 10, 9000, 70_000, 200_000, 600_000), fc.nat(2), fc.constantFrom(0, 0, 1))
      .map(([size, seed, zeros]) => (zeros === 1 ? new Uint8Array(size) : noise(size, seed)));
    const upload = fc.record({
      volume: fc.constantFrom('a', 'b'),
      path: fc.constantFrom('x', 'y', 'd/z'),
      bytes,
      way: fc.constantFrom('write', 'append', 'edit', 'batch', 'path', 'copy'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(upload, { minLength: 1, maxLength: 12 }), async (uploads) => {
        const store = await openTemporaryStore({ workers: 2 });
        try {
          const volumes = new Map<string, Volume>();
          for (const name of ['a', 'b']) volumes.set(name, await store.volumes.fromName(name, { createIfMissing: true }));
          for (const one of uploads) await put(volumes.get(one.volume)!, one);
          const packed = packedChunks(store);
          expect(new Set(packed).size).toBe(packed.length);
          const distinct = await distinctChunks(store);
          for (const id of distinct.ids) expect(packed).toContain(id);
          const usage = await store.usage();
          expect(usage.stored).toBeLessThan(distinct.bytes + usage.unreachable + uploads.length * OVERHEAD_BYTES);
        } finally {
          await store.close();
        }
      }),
      { numRuns: RUNS },
    );
  });

  async function put(volume: Volume, { path: where, bytes, way }: { path: string; bytes: Uint8Array; way: string }): Promise<void> {
    if (way === 'batch') return void (await volume.batchUpload((batch) => batch.putFile({ data: bytes }, where), { force: true }));
    if (way === 'path') {
      const local = path.join(tempDir(), 'file');
      fs.writeFileSync(local, bytes);
      return void (await volume.batchUpload((batch) => batch.putFile(local, where), { force: true }));
    }
    if (way === 'write') await volume.writeFile(where, bytes);
    else if (way === 'append') await volume.appendFile(where, bytes);
    else if (way === 'copy') {
      await volume.writeFile('source', bytes);
      await volume.copy('source', where);
    } else {
      const file = await volume.open(where, 'w');
      for (let end = bytes.length; end > 0; end -= 50_000)
        await file.write(bytes.subarray(Math.max(0, end - 50_000), end), { position: Math.max(0, end - 50_000) });
      await file.close();
    }
    await volume.commit();
  }

  test('of many files stored by all workers at once are stored once', async () => {
    const dir = tempDir();
    for (let i = 0; i < 60; i++) fs.writeFileSync(path.join(dir, String(i)), noise(700_000, i % 3));
    const store = await temporaryStore({ workers: 4 });
    const volume = await volumeV(store);
    const { bytes } = await volume.batchUpload((batch) => batch.putDirectory(dir, '/'));
    expect(bytes).toMatchObject({ logical: 60 * 700_000, new: 3 * 700_000 });
    const packed = packedChunks(store);
    expect(new Set(packed).size).toBe(packed.length);
    expect((await store.usage()).stored).toBeLessThan(3 * 700_000 + 3 * OVERHEAD_BYTES);
    for (let i = 0; i < 60; i += 7) expectSameBytes(await volume.readFile(String(i)), noise(700_000, i % 3));
  });

  test('of files stored into several volumes at the same time are stored once', async () => {
    const dir = tempDir();
    for (let i = 0; i < 3; i++) fs.writeFileSync(path.join(dir, String(i)), noise(2 << 20, i));
    const store = await temporaryStore();
    const volumes = await Promise.all(Array.from({ length: 6 }, (_, i) => store.volumes.fromName(`v${i}`, { createIfMissing: true })));
    await Promise.all(volumes.map((volume) => volume.batchUpload((batch) => batch.putDirectory(dir, '/'))));
    const packed = packedChunks(store);
    expect(new Set(packed).size).toBe(packed.length);
    expect((await store.usage()).stored).toBeLessThan((6 << 20) + 12 * OVERHEAD_BYTES);
  });

  test('of a model whose header grew, or that has one tensor more, are stored once', async () => {
    const store = await temporaryStore();
    const volume = await volumeV(store);
    const weights = noise(3 << 20, 1);
    const tensors = [0, 1, 2].map((i) => ({ name: `t${i}`, offsets: [i << 20, (i + 1) << 20] as [number, number] }));
    await volume.writeFile('model', Buffer.concat([safetensorsHeader(tensors), weights]));
    await volume.commit();
    const more = [...tensors, { name: 'added', offsets: [3 << 20, (3 << 20) + 1000] as [number, number] }];
    await volume.writeFile('model', Buffer.concat([safetensorsHeader(more, { note: 'a longer header' }), weights, noise(1000, 2)]));
    expect((await volume.commit()).bytes.new).toBeLessThan(3000);
    expect(packedChunks(store).length).toBe(new Set(packedChunks(store)).size);
  });
});

describe('usage', () => {
  test('tells what all files of all versions take, and what each volume and each version alone keeps', async () => {
    const store = await temporaryStore({ compression: 'none' });
    const volume = await volumeV(store);
    const shared = noise(300_000, 1);
    await volume.writeFile('shared', shared);
    await volume.writeFile('once', noise(100_000, 2));
    const first = await volume.commit();
    await volume.remove('once');
    await volume.writeFile('later', noise(50_000, 3));
    const second = await volume.commit();
    const other = await store.volumes.fromName('other', { createIfMissing: true });
    await other.copy('shared', 'copied', { from: volume });
    await other.commit();

    const usage = await store.usage();
    expect(usage.logical).toBe(400_000 + 350_000 + 300_000);
    expect(usage.stored).toBeGreaterThan(450_000);
    expect(usage.stored).toBeLessThan(450_000 + 3 * OVERHEAD_BYTES);
    expect(usage.unreachable).toBe(0);
    const [otherUsage, own] = usage.volumes;
    expect([otherUsage!.name, own!.name]).toEqual(['other', 'v']);
    const between = (value: number, low: number): boolean => value >= low && value < low + OVERHEAD_BYTES;
    expect(between(otherUsage!.exclusive, 0)).toBe(true);
    expect(between(own!.exclusive, 150_000)).toBe(true);
    const exclusive = new Map(own!.snapshots.map(({ id, exclusive: bytes }) => [id, bytes]));
    expect(between(exclusive.get(first.snapshot.id)!, 100_000)).toBe(true);
    expect(between(exclusive.get(second.snapshot.id)!, 50_000)).toBe(true);

    await store.volumes.delete('v');
    const after = await store.usage();
    expect(after.stored).toBe(usage.stored);
    expect(between(after.unreachable, 150_000)).toBe(true);
    expect(between(after.volumes[0]!.exclusive, 300_000)).toBe(true);
  });
});

describe('equal trees', () => {
  test('are equal whatever way and order they were made in: no diff, the same ids, and nothing new to store', async () => {
    const file = fc.record({
      path: fc.constantFrom('a', 'b', 'c/d', 'c/e', 'f/g/h'),
      size: fc.constantFrom(0, 5, 9000, 300_000),
      seed: fc.nat(3),
    });
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(file, { minLength: 1, selector: ({ path: where }) => where }), fc.nat(), async (files, order) => {
        const store = await openTemporaryStore({ workers: 2 });
        try {
          const [one, two] = [
            await store.volumes.fromName('one', { createIfMissing: true }),
            await store.volumes.fromName('two', { createIfMissing: true }),
          ];
          for (const { path: where, size, seed } of files) await one.writeFile(where, noise(size, seed));
          await one.commit();
          const turned = files.map((_, i) => files[(i + order) % files.length]!).reverse();
          for (const { path: where, size, seed } of turned) {
            await two.writeFile(where, 'something else first');
            if (size % 2 === 0) await two.commit();
            await two.writeFile(`${where}.renamed`, noise(size, seed));
            await two.remove(where);
            await two.rename(`${where}.renamed`, where);
          }
          const { bytes } = await two.commit();
          expect(bytes.new).toBe(0);
          expect(await collect(one.diff('HEAD', await two.snapshot()))).toEqual([]);
          expect(await contentIds(one)).toEqual(await contentIds(two));
        } finally {
          await store.close();
        }
      }),
      { numRuns: RUNS },
    );
  });
});
