import fs from 'node:fs';
import { join } from 'node:path';
import { isCairnError, type Snapshot, type Store } from '@cairn/core';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Decoder } from '../../packages/core/dist/encoding/decoder.js';
import { loadZstd } from '../../packages/core/dist/encoding/zstd.js';
import { createHasher } from '../../packages/core/dist/hash/blake3.js';
import { Phases } from '../../packages/core/dist/maintenance/phases.js';
import { surveyPacks } from '../../packages/core/dist/maintenance/repair/survey.js';
import { PackFiles } from '../../packages/core/dist/pack/pack-files.js';
import { readStoreFormat } from '../../packages/core/dist/pack/store-format.js';
import { StoreLayout } from '../../packages/core/dist/pack/store-layout.js';
import { readJournal } from '../../packages/core/dist/refs/journal.js';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { safetensorsHeader } from '../chunking/samples.js';
import { noise } from '../support/random.js';
import { everyFile } from '../support/every-file.js';
import { randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';

/** Flips and truncations over packs. */
const HITS = Number(process.env['CAIRN_SOAK_FLIPS'] ?? 1000);
/** After so many rounds of them the store is opened anew, and everything in it is read in every way. */
const ROUNDS_PER_READING = 3;
const TRAILER_BYTES = 80;
const ROW_BYTES = 56;

interface Row {
  id: string;
  offset: number;
  /** As stored. */
  length: number;
  logicalLength: number;
  encoding: number;
}

interface Known {
  volume: string;
  snapshot: string;
  path: string;
  bytes: Buffer;
}

/** Unsynced: nothing here asks what a power cut would leave. */
const open = (dir: string): Promise<Store> => openStoreOn({ durable: false }, dir, { workers: 1 });

/** Raw, compressed and shared chunks, content nodes, manifest nodes of two levels, records; packs of workers and of commits. */
async function fill(dir: string): Promise<Known[]> {
  const store = await open(dir);
  const volume = await store.volumes.fromName('models', { createIfMissing: true });
  const header = safetensorsHeader([{ name: 'a', dtype: 'I8', offsets: [0, 200_000] }, { name: 'b', dtype: 'I8', offsets: [200_000, 300_000] }]); // prettier-ignore
  await volume.batchUpload(async (batch) => {
    await batch.putFile({ data: Buffer.concat([header, noise(300_000, 1)]) }, 'model.safetensors');
    for (let i = 0; i < 400; i++) await batch.putFile({ data: i % 40 === 0 ? `text ${i}` : '' }, `many/${'long name '.repeat(4)}${i}`);
  });
  await volume.reload();
  await volume.writeFile('text', 'all work and no play '.repeat(3000));
  await volume.writeFile('noise', noise(400_000, 2));
  await volume.symlink('text', 'link');
  await volume.commit();
  await store.volumes.fork('models', 'fork');
  await volume.remove('noise');
  await volume.writeFile('text', 'all work '.repeat(2000));
  await volume.commit();
  const known: Known[] = [];
  for await (const { volume: name, id, snapshot, entry } of everyFile(store))
    if (entry.size > 0)
      known.push({ volume: name, snapshot: id, path: entry.path, bytes: Buffer.from(await snapshot.readFile(entry.path)) });
  await store.close();
  return known;
}

function packsOf(dir: string): string[] {
  const packs = fs.readdirSync(join(dir, 'packs'), { recursive: true, encoding: 'utf8' });
  return packs.filter((name) => name.endsWith('.pack')).map((name) => join(dir, 'packs', name)).sort(); // prettier-ignore
}

/** The objects of a pack that have bytes, as docs/format.md draws them. */
function rowsOf(pack: Buffer): Row[] {
  const rows: Row[] = [];
  for (let at = Number(pack.readBigUInt64LE(pack.length - TRAILER_BYTES + 16)); at < pack.length - TRAILER_BYTES; at += ROW_BYTES) {
    const lengths = { length: pack.readUInt32LE(at + 40), logicalLength: pack.readUInt32LE(at + 44) };
    rows.push({
      id: pack.toString('hex', at, at + 32),
      offset: Number(pack.readBigUInt64LE(at + 32)),
      ...lengths,
      encoding: pack[at + 49]!,
    });
  }
  return rows.filter(({ length }) => length > 0);
}

/**
 * Whether an altered payload is still its object: some bits of a zstd frame mean nothing, such as one of its header and those that fill up
 * the last byte of a table.
 */
function isHarmless(pack: Buffer, { id, offset, length, logicalLength, encoding }: Row): boolean {
  if (encoding === 0) return false;
  const logical = Buffer.alloc(logicalLength);
  try {
    if (new (loadZstd().DCtx)().decompress(logical, pack.subarray(offset, offset + length)) !== logicalLength) return false;
  } catch {
    return false;
  }
  return Buffer.from(createHasher('auto').digest(logical)).toString('hex') === id;
}

/** The right bytes, or a typed error: anything else fails. Returns whether they could be read. */
async function right(read: Promise<Uint8Array>, { path, bytes }: Known): Promise<boolean> {
  try {
    const got = await read;
    if (Buffer.compare(got, bytes) !== 0) expect.fail(`${path} was read as other bytes`);
    return true;
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
    return false;
  }
}

/** Reads files of a snapshot in every way that there is. */
const WAYS: ((snapshot: Snapshot, file: Known, dir: string) => Promise<Uint8Array>)[] = [
  (snapshot, { path }) => snapshot.readFile(path),
  async (snapshot, { path }) => {
    const parts: Uint8Array[] = [];
    for await (const part of snapshot.createReadStream(path)) parts.push(part as Uint8Array);
    return Buffer.concat(parts);
  },
  async (snapshot, { path, bytes }) => {
    const target = new Uint8Array(new SharedArrayBuffer(bytes.length));
    await snapshot.readInto({ path, target });
    return target;
  },
  async (snapshot, { path, bytes }) => {
    const target = new Uint8Array(bytes.length);
    const half = bytes.length >> 1;
    await snapshot.readInto([{ path, target: target.subarray(0, half) }, { path, position: half, target: target.subarray(half) }]); // prettier-ignore
    return target;
  },
  async (snapshot, { path }, dir) => {
    const local = join(dir, 'copy');
    fs.rmSync(local, { force: true });
    await snapshot.copyToLocal(path, local);
    return fs.readFileSync(local);
  },
];

describe('flipped bits', () => {
  let original: string;
  let known: Known[];
  beforeAll(async () => {
    original = fs.mkdtempSync(join(process.env['TMPDIR'] ?? '/tmp', 'cairn-flips-'));
    known = await fill(join(original, 'store'));
    return () => fs.rmSync(original, { recursive: true, force: true });
  }, 120_000);

  function copyOfStore(): string {
    const dir = join(tempDir(), 'store');
    fs.cpSync(join(original, 'store'), dir, { recursive: true, filter: (name) => !name.endsWith('lock.mdb') && !/leases.+/.test(name) });
    return dir;
  }

  test('and truncations of packs, a thousand at random: verify finds every one, and no way of reading gives other bytes', async () => {
    const below = randomFrom(testSeed('flips of packs'));
    const dir = copyOfStore();
    const packs = packsOf(dir).map((path) => ({ path, bytes: fs.readFileSync(path) }));
    const checker = await open(dir);
    onTestFinished(() => checker.close());
    expect(await checker.verify({ readData: true })).toMatchObject({ ok: true });
    let [hits, unreadable, readings] = [0, 0, 0];
    for (let round = 0; hits < HITS; round++) {
      const expected: string[] = [];
      for (const { path, bytes } of packs) {
        const altered = Buffer.from(bytes);
        const kind = below(8);
        if (kind === 0) {
          // Of the footer: nothing in the pack is believed.
          const table = Number(bytes.readBigUInt64LE(bytes.length - TRAILER_BYTES + 16));
          altered[table + below(bytes.length - table)]! ^= 1 << below(8);
          expected.push(path.slice(-37, -5));
        } else if (kind === 1) expected.push(path.slice(-37, -5));
        else {
          for (const row of rowsOf(bytes)) {
            if (below(4) !== 0) continue;
            altered[row.offset + below(row.length)]! ^= 1 << below(8);
            if (!isHarmless(altered, row)) expected.push(row.id);
          }
        }
        fs.writeFileSync(path, altered);
        if (kind === 1) fs.truncateSync(path, below(bytes.length));
      }
      hits += expected.length;
      const { ok, damage } = await checker.verify({ readData: true });
      const found = new Set(damage.map(({ id }) => id));
      expect([ok, expected.filter((id) => !found.has(id))]).toEqual([expected.length === 0, []]);
      if (round % ROUNDS_PER_READING === 0) {
        unreadable += await readAll(dir, round);
        readings++;
      }
      for (const { path, bytes } of packs) fs.writeFileSync(path, bytes);
    }
    expect(await checker.verify({ readData: true })).toMatchObject({ ok: true });
    console.log(`${hits} flips and truncations found; ${unreadable} files unreadable in ${readings} readings`);
    expect(unreadable).toBeGreaterThan(0);
  }, 600_000);

  /** Reads everything in a process' first look at the store, when nothing is remembered; returns how many files could not be read. */
  async function readAll(dir: string, round: number): Promise<number> {
    const store = await open(dir);
    const local = tempDir();
    let failed = 0;
    try {
      const snapshots = new Map<string, Snapshot | undefined>();
      for (const [i, file] of known.entries()) {
        const key = `${file.volume} ${file.snapshot}`;
        if (!snapshots.has(key)) snapshots.set(key, await snapshotOf(store, file));
        const snapshot = snapshots.get(key);
        if (snapshot === undefined || !(await right(WAYS[(i + round) % WAYS.length]!(snapshot, file, local), file))) failed++;
      }
      await mountAll(store, join(local, 'mounted'));
    } finally {
      await store.close();
    }
    return failed;
  }

  async function snapshotOf(store: Store, { volume, snapshot }: Known): Promise<Snapshot | undefined> {
    try {
      return await (await store.volumes.fromName(volume)).snapshot(snapshot);
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
      return undefined;
    }
  }

  /** A folder that was mounted holds right files only, if any. */
  async function mountAll(store: Store, folder: string): Promise<void> {
    try {
      const mount = await (await store.volumes.fromName('models')).mount(folder);
      await mount.close();
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
    }
    for (const { path, bytes } of known.filter(({ volume }) => volume === 'models').slice(0, 3)) {
      const file = join(folder, path);
      if (fs.existsSync(file) && path !== 'text' && Buffer.compare(fs.readFileSync(file), bytes) !== 0)
        expect.fail(`${path} was mounted as other bytes`);
    }
  }

  test('in any byte that means something of any pack, journal file or format line of a small store are found, or harmless', async () => {
    const dir = join(tempDir(), 'store');
    const store = await open(dir);
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    await volume.writeFile('a/b', 'some text '.repeat(20));
    await volume.symlink('b', 'a/link');
    await volume.commit({ message: 'm', metadata: { loss: 0.5 } });
    await volume.tag('t');
    await store.close();
    const layout = new StoreLayout(dir);
    const hasher = createHasher('auto');
    const packs = new PackFiles(layout);
    onTestFinished(() => packs.closeAll());
    const access = { layout, packs, hasher, decoder: new Decoder() };
    const missed: string[] = [];
    let bytes = 0;
    const everyByte = async (file: string, isFound: (at: number) => boolean | Promise<boolean>): Promise<void> => {
      const whole = fs.readFileSync(file);
      const fd = fs.openSync(file, 'r+');
      try {
        for (let at = 0; at < whole.length; at++, bytes++) {
          fs.writeSync(fd, Buffer.from([whole[at]! ^ (1 << (at % 8))]), 0, 1, at);
          if (!(await isFound(at))) missed.push(`${file} ${at}`);
          fs.writeSync(fd, whole, at, 1, at);
        }
      } finally {
        fs.closeSync(fd);
      }
    };
    for (const pack of packsOf(dir)) {
      const whole = fs.readFileSync(pack);
      const table = Number(whole.readBigUInt64LE(whole.length - TRAILER_BYTES + 16));
      const isDamage = (at: number): boolean => {
        const row = rowsOf(whole).find(({ offset, length }) => at >= offset && at < offset + length);
        if (row === undefined) return at >= table;
        const altered = Buffer.from(whole);
        altered[at]! ^= 1 << (at % 8);
        return !isHarmless(altered, row);
      };
      await everyByte(pack, async (at) => (await surveyPacks(access, new Phases({}))).broken.length === (isDamage(at) ? 1 : 0));
    }
    for (const name of fs.readdirSync(layout.refsDir))
      await everyByte(join(layout.refsDir, name), () => readJournal(layout.refsDir, hasher).damage.length > 0);
    const { storeId } = readStoreFormat(layout);
    // A digit of the store's id may become another one: it names the store, and nothing depends on it.
    await everyByte(layout.formatPath, (at) => {
      try {
        return readStoreFormat(layout).storeId !== storeId && at >= 'cairn-store 1 '.length;
      } catch (error) {
        return isCairnError(error);
      }
    });
    expect(missed).toEqual([]);
    expect(bytes).toBeGreaterThan(1000);
    console.log(`${bytes} bytes flipped, one at a time`);
  }, 600_000);
});
