import fs from 'node:fs';
import path from 'node:path';
import { isCairnError, openStore, openTemporaryStore, type Damage, type Snapshot, type Store, type VerifyReport } from '@cairn/core';
import fc from 'fast-check';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { safetensorsHeader } from '../chunking/samples.js';
import { collect, noise, temporaryStore, volumeV } from '../contract/support.js';
import { everyFile } from '../support/every-file.js';
import { tempDir } from '../support/temp-dir.js';

const RUNS = Number(process.env['CAIRN_TEST_RUNS'] ?? 12);
/** Places of a small pack that are tried one by one. */
const STEPS = 4 * RUNS;

/** A file of a version, and what it holds. */
interface Known {
  volume: string;
  snapshot: string;
  path: string;
  bytes: Buffer;
}

/** A whole store to damage copies of, and all that is in it. */
let original: string;
const known: Known[] = [];
let packs: string[];

beforeAll(async () => {
  const store = await openTemporaryStore({ workers: 2 });
  await fill(store);
  expect(await store.usage()).toMatchObject({ unreachable: 0 });
  expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
  original = fs.mkdtempSync(path.join(path.dirname(store.info().dir), 'cairn-damage-'));
  copyStore(store.info().dir, original);
  await store.close();
  packs = fs
    .readdirSync(original, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.pack'))
    .sort();
  return () => fs.rmSync(original, { recursive: true, force: true });
});

/** Two volumes, a fork and several versions: raw, compressed and shared chunks, content and manifest nodes, small packs and those of workers. */
async function fill(store: Store): Promise<void> {
  const weights = await store.volumes.fromName('weights', { createIfMissing: true });
  const model = Buffer.concat([
    safetensorsHeader([
      { name: 'a', dtype: 'I8', offsets: [0, 1 << 20] },
      { name: 'b', dtype: 'I8', offsets: [1 << 20, 5 << 20] },
    ]),
    noise(5 << 20, 1),
  ]);
  await weights.writeFile('model.safetensors', model);
  await weights.writeFile('config.json', JSON.stringify({ layers: 'x'.repeat(9000) }));
  await weights.commit();
  const other = await store.volumes.fromName('other', { createIfMissing: true });
  for (let i = 0; i < 120; i++)
    await other.writeFile(`many/${i % 4}/${'a file with a long name, to fill nodes '.repeat(4)}${i}`, `small ${i}`);
  await other.writeFile('text', 'all work and no play '.repeat(40_000));
  await other.copy('model.safetensors', 'copied', { from: weights });
  await other.commit();
  const file = await weights.open('model.safetensors', 'r+');
  await file.write(noise(100_000, 2), { position: 3 << 20 });
  await file.close();
  await weights.writeFile('config.json', '{}');
  await weights.writeFile('noise', noise(700_000, 3));
  await weights.commit();
  await store.volumes.fork('weights', 'fork', { at: 'HEAD~1' });
  await weights.remove('noise');
  await weights.commit();
  await other.remove('many/3', { recursive: true });
  await other.commit();
  for await (const { volume, id, snapshot, entry } of everyFile(store)) {
    known.push({ volume, snapshot: id, path: entry.path, bytes: Buffer.from(await snapshot.readFile(entry.path)) });
  }
}

/** The index's lock file belongs to the processes that have it open, and is not to be touched. */
function copyStore(from: string, to: string): void {
  fs.cpSync(from, to, { recursive: true, filter: (name) => path.basename(name) !== 'lock.mdb' });
}

/** A copy of the store with a change to one of its files, open. */
async function damagedStore(file: string, change: (bytes: Buffer) => Buffer | null): Promise<Store> {
  const dir = path.join(tempDir(), 'store');
  copyStore(original, dir);
  const changed = change(fs.readFileSync(path.join(dir, file)));
  if (changed === null) fs.rmSync(path.join(dir, file));
  else fs.writeFileSync(path.join(dir, file), changed);
  return openStore(dir, { workers: 1 });
}

/** Which bytes of a pack mean something, as docs/format.md draws it: payloads, object table and trailer, and no gap between payloads. */
function isMeant(pack: Buffer, at: number): boolean {
  const table = Number(pack.readBigUInt64LE(pack.length - 80 + 16));
  if (at >= table) return true;
  for (let row = table; row < pack.length - 80; row += 56) {
    const offset = Number(pack.readBigUInt64LE(row + 32));
    if (at >= offset && at < offset + pack.readUInt32LE(row + 40)) return true;
  }
  return false;
}

function flipped(bytes: Buffer, at: number, bit: number): Buffer {
  const result = Buffer.from(bytes);
  result[at]! ^= 1 << bit;
  return result;
}

/** What a read came to: the right bytes, or a DamageError. Anything else fails the test. */
async function outcome(work: Promise<Uint8Array>, expected: Buffer): Promise<'right' | 'damaged'> {
  try {
    expect(Buffer.compare(await work, expected)).toBe(0);
    return 'right';
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
    expect((error as unknown as { damage: Damage[] }).damage.length).toBeGreaterThan(0);
    return 'damaged';
  }
}

/** Reads every file of every version in several ways; returns those that could not be read. */
async function unreadable(store: Store): Promise<Known[]> {
  const failed: Known[] = [];
  let forks = 0;
  const trees = new Map<string, Promise<Snapshot>>();
  for (const [i, file] of known.entries()) {
    const { volume, snapshot, path: where, bytes } = file;
    const key = `${volume} ${snapshot}`;
    if (!trees.has(key)) trees.set(key, openAt(store, volume, snapshot, `fork-${forks++}`));
    const read = async (): Promise<Uint8Array> => {
      const tree = await trees.get(key)!;
      if (i % 3 === 0) return tree.readFile(where);
      if (i % 3 === 1) return Buffer.concat((await collect(tree.createReadStream(where))) as Uint8Array[]);
      const target = new Uint8Array(new SharedArrayBuffer(bytes.length));
      const half = bytes.length >> 1;
      await tree.readInto([
        { path: where, target: target.subarray(0, half) },
        { path: where, position: half, target: target.subarray(half) },
      ]);
      return target;
    };
    if ((await outcome(read(), bytes)) === 'damaged') failed.push(file);
  }
  return failed;
}

/** A volume whose head is damaged does not open; a fork of an older version does. */
async function openAt(store: Store, name: string, snapshot: string, fork: string): Promise<Snapshot> {
  try {
    return await (await store.volumes.fromName(name)).snapshot(snapshot);
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
    await store.volumes.fork(name, fork, { at: snapshot });
    return (await store.volumes.fromName(fork)).snapshot(snapshot);
  }
}

function expectNamed(report: VerifyReport, failed: Known[]): void {
  const affects = report.damage.flatMap((damage) => damage.affects);
  for (const { volume, snapshot, path: where } of failed) {
    expect(affects).toContainEqual(
      affects.some((named) => named.volume === volume && named.snapshot === snapshot && named.path === '')
        ? { volume, snapshot, path: '' }
        : expect.objectContaining({ volume, snapshot, path: where }),
    );
  }
}

type Hit = { name: string; apply: (pack: Buffer) => Buffer | null; alters: (pack: Buffer) => boolean };
const part = fc.double({ min: 0, max: 0.999_999, noNaN: true });
/** Somewhere in the pack, with some liking for its end, where table and trailer are. */
const place = fc.oneof(
  part.map((x) => (pack: Buffer) => Math.floor(pack.length * x)),
  fc.nat(200).map((back) => (pack: Buffer) => Math.max(0, pack.length - 1 - back)),
);
const always = (): boolean => true;
const hit: fc.Arbitrary<Hit> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.tuple(place, fc.nat(7)).map(([at, bit]): Hit => ({
      name: `flip bit ${bit}`,
      apply: (pack) => flipped(pack, at(pack), bit),
      alters: (pack) => isMeant(pack, at(pack)),
    })),
  },
  { weight: 2, arbitrary: place.map((at): Hit => ({ name: 'truncate', apply: (pack) => pack.subarray(0, at(pack)), alters: always })) },
  { weight: 1, arbitrary: fc.constant<Hit>({ name: 'delete', apply: () => null, alters: always }) },
  { weight: 1, arbitrary: fc.constant<Hit>({ name: 'empty', apply: () => Buffer.alloc(0), alters: always }) },
  { weight: 1, arbitrary: fc.constant<Hit>({ name: 'zeros', apply: (pack) => Buffer.alloc(pack.length), alters: always }) },
  { weight: 1, arbitrary: fc.constant<Hit>({ name: 'noise', apply: (pack) => Buffer.from(noise(pack.length, 9)), alters: always }) },
  { weight: 1, arbitrary: fc.nat(99).map((i): Hit => ({ name: 'another pack', apply: (pack) => otherPack(pack, i), alters: always })) },
  {
    weight: 1,
    arbitrary: fc
      .integer({ min: 1, max: 5000 })
      .map((size): Hit => ({ name: 'append', apply: (pack) => Buffer.concat([pack, noise(size)]), alters: always })),
  },
);

function otherPack(pack: Buffer, i: number): Buffer {
  const others = packs.map((name) => fs.readFileSync(path.join(original, name))).filter((other) => !other.equals(pack));
  return others[i % others.length]!;
}

describe('a pack that was altered, cut, replaced or deleted', () => {
  test('is never read as other data: every read is right or a DamageError; verify finds it, and names all that cannot be read', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat(99), hit, async (pick, { name, apply, alters }) => {
        const pack = packs[pick % packs.length]!;
        const before = fs.readFileSync(path.join(original, pack));
        const altered = alters(before);
        const store = await damagedStore(pack, apply);
        try {
          const report = await store.verify({ readData: true });
          expect([name, report.ok, report.damage.length > 0]).toEqual([name, !altered, altered]);
          const failed = await unreadable(store);
          if (!altered) expect(failed).toEqual([]);
          // All objects of this store are needed, so damage always touches somebody.
          else expect(report.damage.some((damage) => damage.affects.length > 0)).toBe(true);
          expectNamed(report, failed);
          expect((await store.verify()).damage.length).toBeLessThanOrEqual(report.damage.length);
        } finally {
          await store.close();
        }
      }),
      { numRuns: RUNS },
    );
  });

  test('is found by verify wherever a byte of a small pack means something, and nowhere else', async () => {
    const size = (name: string): number => fs.statSync(path.join(original, name)).size;
    const smallest = packs.toSorted((a, b) => size(a) - size(b))[0]!;
    const whole = fs.readFileSync(path.join(original, smallest));
    const store = await damagedStore(smallest, (pack) => pack);
    onTestFinished(() => store.close());
    const file = path.join(store.info().dir, smallest);
    const wrong: number[] = [];
    const step = Math.ceil(whole.length / STEPS);
    for (let at = 0; at < whole.length; at += 1 + (at % (2 * step))) {
      fs.writeFileSync(file, flipped(whole, at, at % 8));
      if ((await store.verify({ readData: true })).ok === isMeant(whole, at)) wrong.push(at);
    }
    expect(wrong).toEqual([]);
    fs.writeFileSync(file, whole);
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
  });

  test('leaves what does not need it readable and writable, and is stored anew when its content comes again', async () => {
    const store = await temporaryStore();
    const [whole, hurt] = [
      await store.volumes.fromName('whole', { createIfMissing: true }),
      await store.volumes.fromName('hurt', { createIfMissing: true }),
    ];
    await whole.writeFile('a', 'kept');
    await whole.commit();
    await hurt.writeFile('b', noise(5 << 20));
    await hurt.commit();
    for (const name of fs.readdirSync(path.join(store.info().dir, 'packs'), { recursive: true, encoding: 'utf8' })) {
      const file = path.join(store.info().dir, 'packs', name);
      if (name.endsWith('.pack') && fs.statSync(file).size > 1 << 20) fs.truncateSync(file, 1000);
    }
    await expect(hurt.readFile('b')).rejects.toMatchObject({ code: 'CAIRN_DAMAGED' });
    await whole.writeFile('a', 'still written');
    await whole.commit();
    expect(await whole.readFile('a', 'utf8')).toBe('still written');
    await hurt.writeFile('c', 'beside the damage');
    await hurt.commit();
    expect(await hurt.readFile('c', 'utf8')).toBe('beside the damage');
    const { damage } = await store.verify();
    expect(damage.flatMap(({ affects }) => affects)).toContainEqual({ volume: 'hurt', snapshot: hurt.base!.id, path: 'b' });
    expect(damage.flatMap(({ affects }) => affects).some(({ volume }) => volume === 'whole')).toBe(false);
  });
});

describe('a file of the ref journal that was altered, cut, extended, replaced or deleted', () => {
  test('is found by verify, and does not keep anybody from reading', async () => {
    const store = await temporaryStore();
    const volume = await volumeV(store);
    await volume.writeFile('a', 'readable');
    await volume.commit();
    // More changes than the journal has between two full tables.
    for (let i = 0; i < 130; i++) {
      await volume.tag('moving');
      await volume.untag('moving');
    }
    const dir = path.join(store.info().dir, 'refs');
    const names = fs.readdirSync(dir).sort();
    expect(names.length).toBeGreaterThan(258);
    const change = fc.oneof(
      fc.tuple(part, fc.nat(7)).map(
        ([x, bit]) =>
          (bytes: Buffer) =>
            flipped(bytes, Math.floor(bytes.length * x), bit),
      ),
      part.map((x) => (bytes: Buffer) => bytes.subarray(0, Math.floor(bytes.length * x))),
      fc.constant(() => null),
      fc.constant((bytes: Buffer) => Buffer.alloc(bytes.length)),
      fc.integer({ min: 1, max: 300 }).map((size) => (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(size, '\n')])),
      fc.constant(() => fs.readFileSync(path.join(dir, names[100]!))),
    );
    const pick = fc.oneof(fc.nat(names.length - 1), fc.constantFrom(0, 254, 255, 256, names.length - 1)).filter((i) => i !== 100);
    await fc.assert(
      fc.asyncProperty(pick, change, async (i, apply) => {
        const file = path.join(dir, names[i]!);
        const whole = fs.readFileSync(file);
        const changed = apply(whole);
        if (changed === null) fs.rmSync(file);
        else fs.writeFileSync(file, changed);
        const report = await store.verify();
        expect([names[i], report.ok, report.damage.every(({ kind }) => kind === 'index')]).toEqual([names[i], false, true]);
        const reader = await volumeV(store);
        expect(await (await reader.snapshot('HEAD')).readFile('a', 'utf8')).toBe('readable');
        fs.writeFileSync(file, whole);
        expect(await store.verify()).toMatchObject({ ok: true });
      }),
      { numRuns: 4 * RUNS },
    );
  });
});

describe('verify', () => {
  test('of a whole store counts what it has read', async () => {
    const store = await damagedStore('format', (bytes) => bytes);
    onTestFinished(() => store.close());
    const report = await store.verify({ readData: true });
    expect(report).toMatchObject({ ok: true, packs: packs.length, damage: [] });
    expect(report.bytes).toBeGreaterThan(5 << 20);
    expect(report.chunks).toBeGreaterThan(100);
    expect(await store.verify()).toMatchObject({ ok: true, packs: packs.length, chunks: report.chunks, bytes: 0 });
  });

  test('beside writers finds nothing wrong', async () => {
    const store = await temporaryStore();
    const volume = await volumeV(store);
    const writing = (async () => {
      for (let i = 0; i < 100; i++) {
        await volume.writeFile(`d/${i % 50}`, noise(20_000, i));
        await volume.commit();
        await volume.tag('t', 'HEAD', { force: true });
      }
    })();
    let done = false;
    const finished = writing.finally(() => (done = true));
    for (let i = 0; !done; i++) expect(await store.verify({ readData: i % 2 === 0 })).toMatchObject({ ok: true, damage: [] });
    await finished;
  });
});
