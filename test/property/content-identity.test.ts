import fs from 'node:fs';
import path from 'node:path';
import { openTemporaryStore, type Store, type Volume } from '@cairn/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ggufHeader, safetensorsHeader } from '../chunking/samples.js';
import { collect, expectSameBytes, noise } from '../contract/support.js';
import { tempDir } from '../support/temp-dir.js';

const RUNS = Number(process.env['CAIRN_TEST_RUNS'] ?? 40);
const MIB = 1 << 20;
/** Around the limits of chunks and tensor blocks, of what is stored on the calling thread, and of what an open file holds in memory. */
const BOUNDARIES = [
  0,
  1,
  8191,
  8192,
  8193,
  65_535,
  65_536,
  65_537,
  131_071,
  131_072,
  131_073,
  MIB - 1,
  MIB,
  MIB + 1,
  4 * MIB - 1,
  4 * MIB,
  4 * MIB + 1,
  8 * MIB - 1,
  8 * MIB,
  8 * MIB + 1,
];

let store: Store;
let volume: Volume;
beforeAll(async () => {
  store = await openTemporaryStore({ workers: 2 });
  volume = await store.volumes.fromName('v', { createIfMissing: true });
});
afterAll(() => store.close());

const idAt = async (where: string): Promise<string | undefined> => (await volume.stat(where)).contentId;

/** The content id of these bytes when they are stored at once: what every other way is compared with. */
async function idOf(bytes: Uint8Array): Promise<string | undefined> {
  await volume.writeFile('fresh', bytes);
  return idAt('fresh');
}

async function* split(bytes: Uint8Array, lengths: number[]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const length = Math.max(1, lengths[i % lengths.length]!);
    yield await Promise.resolve(bytes.subarray(at, at + length));
    at += length;
  }
}

async function edited(
  where: string,
  work: (file: Awaited<ReturnType<Volume['open']>>) => Promise<void>,
  flags: 'r+' | 'w' = 'r+',
): Promise<void> {
  const file = await volume.open(where, flags);
  await work(file);
  await file.close();
}

const tensorSize = fc.oneof(
  { weight: 3, arbitrary: fc.integer({ min: 0, max: 30_000 }) },
  { weight: 2, arbitrary: fc.constantFrom(8192, 65_536, 131_072, 131_073) },
  { weight: 1, arbitrary: fc.constantFrom(MIB - 1, MIB, MIB + 1, MIB + 70_000) },
);
const tensorTable = fc.array(fc.record({ size: tensorSize, gap: fc.constantFrom(0, 0, 0, 5, 9000) }), { minLength: 1, maxLength: 6 });
const tail = fc.constantFrom(0, 0, 7, 20_000);

const generic = fc
  .tuple(fc.oneof(fc.integer({ min: 0, max: 400_000 }), fc.constantFrom(...BOUNDARIES.filter((size) => size < 2 * MIB))), fc.nat(99))
  .map(([size, seed]) => noise(size, seed));
const compressible = fc.nat(300_000).map((size) => Buffer.alloc(size, 'all work and no play makes a dull '));
const safetensors = fc.tuple(tensorTable, tail, fc.nat(99)).map(([table, extra, seed]) => {
  let end = 0;
  const tensors = table.map(({ size, gap }, i) => ({
    name: `layer.${i}.weight`,
    offsets: [end + gap, (end += gap + size)] as [number, number],
  }));
  return Buffer.concat([safetensorsHeader(tensors), noise(end + extra, seed)]);
});
const gguf = fc
  .tuple(fc.array(fc.constantFrom(0, 32, 4096, 40_000, 300_000), { minLength: 1, maxLength: 4 }), tail, fc.nat(99))
  .map(([counts, extra, seed]) => {
    let end = 0;
    const tensors = counts.map((count, i) => {
      const tensor = { name: `blk.${i}`, shape: [count], type: 0, offset: end };
      end += count * 4;
      return tensor;
    });
    return Buffer.concat([ggufHeader({ tensors }), noise(end + extra, seed)]);
  });
/** Files of all formats; some cut short. */
const fileBytes: fc.Arbitrary<Uint8Array> = fc
  .tuple(
    fc.oneof(generic, compressible, safetensors, gguf),
    fc.oneof({ weight: 4, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.double({ min: 0, max: 1, noNaN: true }) }),
  )
  .map(([bytes, part]) => bytes.subarray(0, Math.ceil(bytes.length * part)));
const lengths = fc.array(
  fc.oneof(
    fc.integer({ min: 1, max: 100 }).map((x) => x * 77),
    fc.constantFrom(1000, 8192, 65_536, 131_072, 400_000, 3 * MIB),
  ),
  { minLength: 1, maxLength: 6 },
);

/** One thing that a program does to a file. Numbers are parts of the file's size, or of what is around it. */
type Step =
  | { type: 'write'; at: number; near: number; bytes: Uint8Array }
  | { type: 'append'; bytes: Uint8Array }
  | { type: 'truncate'; to: number }
  | { type: 'become'; bytes: Uint8Array }
  | { type: 'settle' }
  | { type: 'commit' };
const near = fc.constantFrom(0, 0, 0, 1, 7, 8, 9, 100, 8192, 65_536, 131_072);
const written = fc.tuple(fc.constantFrom(1, 8, 100, 8192, 70_000, 200_000), fc.nat(9)).map(([size, seed]) => noise(size, seed));
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({
      type: fc.constant('write' as const),
      at: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1, noNaN: true })),
      near,
      bytes: written,
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('append' as const), bytes: written }) },
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('truncate' as const),
      to: fc.oneof(fc.double({ min: 0, max: 1.2, noNaN: true }), fc.constant(1)),
    }),
  },
  // Another file's beginning over this one's: headers come, change and go.
  {
    weight: 2,
    arbitrary: fc.record({
      type: fc.constant('become' as const),
      bytes: fc.oneof(safetensors, gguf).map((bytes) => bytes.subarray(0, 2000)),
    }),
  },
  { weight: 2, arbitrary: fc.constantFrom<Step>({ type: 'settle' }, { type: 'commit' }) },
);

/** Applies a step to bytes in memory. */
function applied(bytes: Uint8Array, at: number, data: Uint8Array): Uint8Array {
  const result = new Uint8Array(Math.max(bytes.length, at + data.length));
  result.set(bytes);
  result.set(data, at);
  return result;
}

describe('the content id of a file', () => {
  test('is the same by buffer, stream, batch and appends, however the bytes are split', async () => {
    await fc.assert(
      fc.asyncProperty(fileBytes, lengths, lengths, async (bytes, pieces, additions) => {
        const id = await idOf(bytes);
        await volume.writeFile('stream', split(bytes, pieces));
        expect(await idAt('stream')).toBe(id);
        await volume.writeFile('appended', '');
        for await (const addition of split(
          bytes,
          additions.map((length) => Math.max(length, Math.ceil(bytes.length / 30))),
        ))
          await volume.appendFile('appended', addition);
        expect(await idAt('appended')).toBe(id);
        await edited(
          'piecewise',
          async (file) => {
            for await (const piece of split(bytes, pieces)) await file.write(piece);
          },
          'w',
        );
        expect(await idAt('piecewise')).toBe(id);
        await volume.batchUpload((batch) => batch.putFile({ data: split(bytes, pieces) }, 'batch'), { force: true });
        expect(await idAt('batch')).toBe(id);
      }),
      { numRuns: RUNS },
    );
  });

  test('is the same by local path, for a few files on this thread and for many by the workers', async () => {
    const files = fc.sample(fileBytes, { numRuns: 70, seed: 7 });
    const dir = tempDir();
    for (const [i, bytes] of files.entries()) fs.writeFileSync(path.join(dir, String(i)), bytes);
    await volume.batchUpload((batch) => batch.putDirectory(dir, 'by-workers'));
    for (const [i, bytes] of files.entries()) {
      await volume.batchUpload((batch) => batch.putFile(path.join(dir, String(i)), 'alone'), { force: true });
      const id = await idOf(bytes);
      expect([i, await idAt(`by-workers/${i}`), await idAt('alone')]).toEqual([i, id, id]);
    }
  });

  test('is that of the bytes after any program of writes in place, appends, cuts and new headers', async () => {
    await fc.assert(
      fc.asyncProperty(fileBytes, fc.array(step, { minLength: 1, maxLength: 10 }), async (start, steps) => {
        let model = start;
        await volume.writeFile('edited', start);
        const file = await volume.open('edited', 'r+');
        for (const next of steps) {
          if (next.type === 'commit') await volume.commit();
          else if (next.type === 'settle') await volume.stat('edited');
          else if (next.type === 'truncate') {
            const size = Math.floor(model.length * next.to);
            await file.truncate(size);
            model = size <= model.length ? model.slice(0, size) : applied(model, size, new Uint8Array(0));
          } else if ('bytes' in next) {
            const at = next.type === 'write' ? Math.floor(model.length * next.at) + next.near : next.type === 'append' ? model.length : 0;
            await file.write(next.bytes, { position: at });
            model = applied(model, at, next.bytes);
          }
        }
        await file.close();
        expect(await idAt('edited')).toBe(await idOf(model));
        expectSameBytes(await volume.readFile('edited'), model);
      }),
      { numRuns: 2 * RUNS },
    );
  });

  test('follows the header of a safetensors file as it is destroyed, restored, changed, cut and completed', async () => {
    const header = safetensorsHeader([
      { name: 'a', offsets: [0, MIB + 5] },
      { name: 'b', offsets: [MIB + 5, MIB + 200_000] },
    ]);
    const other = safetensorsHeader([
      { name: 'a', offsets: [0, MIB + 7] },
      { name: 'b', offsets: [MIB + 7, MIB + 200_000] },
    ]);
    expect(other.length).toBe(header.length);
    const model = Buffer.concat([header, noise(MIB + 250_000, 1)]);
    const expectModel = async (bytes: Uint8Array): Promise<void> => expect(await idAt('weights')).toBe(await idOf(bytes));
    await volume.writeFile('weights', model);
    const file = await volume.open('weights', 'r+');
    const original = await idAt('weights');
    for (const [position, broken] of [
      [7, [1]],
      [8, [0x5b]],
      [0, [255, 255]],
      [header.length - 1, [0x7b]],
      [0, [3, 0, 0, 0]],
    ] as const) {
      await file.write(Uint8Array.from(broken), { position });
      const damaged = applied(model, position, Uint8Array.from(broken));
      await expectModel(damaged);
      expect(await idAt('weights')).not.toBe(original);
      await file.write(model.subarray(position, position + broken.length), { position });
      expect(await idAt('weights')).toBe(original);
    }
    await file.write(other, { position: 0 });
    await expectModel(applied(model, 0, other));
    for (const size of [header.length + 100, header.length, header.length - 1, 9, 8, 0]) {
      await file.truncate(size);
      await expectModel(applied(model, 0, other).subarray(0, size));
    }
    // From nothing, a few bytes at a time: generic until the header is whole, tensors from then on.
    for (const [from, to] of [
      [0, 4],
      [4, 8],
      [8, 9],
      [9, header.length - 1],
      [header.length - 1, header.length],
      [header.length, header.length + 1],
      [header.length + 1, model.length],
    ] as const) {
      await file.write(model.subarray(from, to), { position: from });
      await expectModel(model.subarray(0, to));
    }
    await file.close();
    expect(await idAt('weights')).toBe(original);
  });

  test('differs where a byte differs, and where the length does', async () => {
    await fc.assert(
      fc.asyncProperty(
        fileBytes.filter((bytes) => bytes.length > 0),
        fc.nat(),
        async (bytes, at) => {
          const id = await idOf(bytes);
          const changed = bytes.slice();
          changed[at % bytes.length]! ^= 1 << (at % 8);
          expect(await idOf(changed)).not.toBe(id);
          expect(await idOf(bytes.subarray(0, -1))).not.toBe(id);
          expect(await idOf(applied(bytes, bytes.length + 1, new Uint8Array(0)))).not.toBe(id);
        },
      ),
      { numRuns: RUNS / 2 },
    );
  });
});

describe.each(BOUNDARIES)('a file of %d bytes', (size) => {
  test('has one content id by every way, and reads back byte for byte at every place', async () => {
    const dir = tempDir();
    for (const [kind, bytes] of [
      ['generic', noise(size, size)],
      ['safetensors', tensorsOfSize(size)],
    ] as const) {
      const id = await idOf(bytes);
      fs.writeFileSync(path.join(dir, kind), bytes);
      await volume.batchUpload((batch) => batch.putFile(path.join(dir, kind), 'path'), { force: true });
      await volume.writeFile('stream', split(bytes, [100_000, 1, 70_001]));
      await edited(
        'in-place',
        async (file) => {
          // From the back, in pieces that are not aligned to anything.
          for (let end = bytes.length; end > 0; end -= 999_983)
            await file.write(bytes.subarray(Math.max(0, end - 999_983), end), { position: Math.max(0, end - 999_983) });
        },
        'w',
      );
      await volume.writeFile('appended', bytes.subarray(0, size >> 1));
      await volume.appendFile('appended', bytes.subarray(size >> 1));
      await volume.writeFile('cut', Buffer.concat([bytes, noise(100_001)]));
      await edited('cut', (file) => file.truncate(size));
      const ways = ['path', 'stream', 'in-place', 'appended', 'cut'];
      expect([kind, ...(await Promise.all(ways.map(idAt)))]).toEqual([kind, ...ways.map(() => id)]);
      await expectReadsBack('in-place', bytes);
      await volume.commit();
      await expectReadsBack('in-place', bytes);
    }
  });
});

function tensorsOfSize(size: number): Uint8Array {
  const header = safetensorsHeader([
    { name: 'a', offsets: [0, size >> 1] },
    { name: 'b', offsets: [size >> 1, size] },
  ]);
  return Buffer.concat([header, noise(size, size + 1)]).subarray(0, size);
}

/** Whole, at its ends, and at random places, by position and by stream. */
async function expectReadsBack(where: string, bytes: Uint8Array): Promise<void> {
  expectSameBytes(await volume.readFile(where), bytes);
  const places = fc.sample(fc.tuple(fc.nat(bytes.length), fc.oneof(fc.nat(300), fc.nat(300_000))), { numRuns: 8, seed: bytes.length });
  places.push([Math.max(0, bytes.length - 1), 1], [0, 1], [bytes.length, 10], [Math.min(bytes.length, 8191), 2]);
  const targets = places.map(([position, length]) => ({ path: where, position, target: new Uint8Array(length) }));
  expect(await volume.readInto(targets)).toBe(
    targets.reduce((sum, { position, target }) => sum + Math.min(target.length, bytes.length - position), 0),
  );
  for (const { position, target } of targets) {
    const expected = bytes.subarray(position, position + target.length);
    expectSameBytes(target.subarray(0, expected.length), expected);
    if (target.length === 0) continue;
    const streamed = await collect(volume.createReadStream(where, { start: position, end: position + target.length - 1 }));
    expectSameBytes(Buffer.concat(streamed as Uint8Array[]), expected);
  }
}
