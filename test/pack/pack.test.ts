import fc from 'fast-check';
import fs from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, vi } from 'vitest';
import type { Disk } from '../../packages/core/src/disk/disk.js';
import { openDisk } from '../../packages/core/src/disk/open-disk.js';
import { Decoder } from '../../packages/core/src/encoding/decoder.js';
import { isCairnError, StoreFormatError } from '../../packages/core/src/errors.js';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { digestToHex } from '../../packages/core/src/hash/digest.js';
import { encodeFooter, MAX_OBJECT_BYTES, parseFooter, TRAILER_BYTES, type SealedPack } from '../../packages/core/src/pack/footer.js';
import { listIncoming, listPacks } from '../../packages/core/src/pack/list-packs.js';
import { ROW_BYTES, rowCount, rowDigest, rows, TableBuilder, type PackedObject } from '../../packages/core/src/pack/object-table.js';
import { PackFiles } from '../../packages/core/src/pack/pack-files.js';
import { asPackId, newPackId, type PackId } from '../../packages/core/src/pack/pack-id.js';
import { PackShelf } from '../../packages/core/src/pack/pack-shelf.js';
import { PackWriter } from '../../packages/core/src/pack/pack-writer.js';
import { readFooter } from '../../packages/core/src/pack/read-footer.js';
import { writePackSync, type PackInput } from '../../packages/core/src/pack/small-pack.js';
import { createStoreFolders } from '../../packages/core/src/pack/store-format.js';
import { StoreLayout } from '../../packages/core/src/pack/store-layout.js';
import type { FaultyDiskOptions } from '../support/faulty-disk.mjs';
import { handOn } from '../support/hand-on.mjs';
import { pageMemory } from '../support/page-memory.js';
import { tempDir } from '../support/temp-dir.js';

const FAULTY = new URL('../support/faulty-disk.mjs', import.meta.url).href;
const GOLDEN = new URL('../vectors/pack-v1.pack', import.meta.url);
const GOLDEN_ID = asPackId('00112233445566778899aabbccddeeff');
const MIB = 1 << 20;
const hasher = createHasher('auto');

async function newShelf(faults?: FaultyDiskOptions): Promise<PackShelf> {
  const layout = new StoreLayout(tempDir());
  createStoreFolders(await openDisk({ durable: false }), layout);
  const disk = await openDisk(faults === undefined ? { durable: false } : { durable: true, module: FAULTY, options: faults });
  return new PackShelf(disk, layout, 'owner1', hasher);
}

function buffers(bytes = MIB): [Uint8Array, Uint8Array] {
  const memory = pageMemory(2 * bytes).fill(0xee);
  return [memory.subarray(0, bytes), memory.subarray(bytes)];
}

/** Pseudo-random bytes that depend on the seed alone, so that golden files can be made again. */
function noise(length: number, seed: number): Uint8Array {
  const out = new Uint8Array(length);
  let state = seed * 2654435761 + 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    out[i] = state >>> 24;
  }
  return out;
}

function input(length: number, seed: number, encoding = 0, kind: 0 | 1 | 2 | 3 = 0): PackInput {
  const payload = noise(length, seed);
  return { kind, digest: hasher.digest(payload), encoding, length: encoding === 0 ? length : length + 100, payload };
}

/** 433 times the byte 7 as a zstd frame put together by hand (RFC 8878: one RLE block), so that no version of a compressor matters. */
function handMadeFrame(): PackInput {
  const payload = Buffer.from('28b52ffd' + '60' + 'b100' + '8b0d00' + '07', 'hex');
  return { kind: 0, digest: hasher.digest(new Uint8Array(433).fill(7)), encoding: 1, length: 433, payload };
}

/** How an object goes into a big pack. */
type Way = 'append' | 'reserve' | 'reserve more' | 'abandon';
const lengths = fc.oneof(fc.nat(300), fc.constantFrom(4096, 65535, 65536, 65537, MIB - 1, MIB), fc.nat(200_000));
const objects = fc.array(
  fc.record({
    length: lengths,
    seed: fc.nat(255),
    encoding: fc.constantFrom(0, 0, 0, 1),
    kind: fc.constantFrom(0 as const, 1 as const, 2 as const, 3 as const),
    way: fc.constantFrom<Way>('append', 'reserve', 'reserve more', 'abandon'),
  }),
  { minLength: 1, maxLength: 25 },
);

async function put(writer: PackWriter, object: PackInput, way: Way): Promise<void> {
  if (object.encoding !== 0 || way === 'append' || way === 'abandon') {
    if (way === 'abandon') (await writer.reserve(object.payload.byteLength)).fill(0xdd);
    await writer.append(object.kind, object.digest, object.encoding, object.length, object.payload);
    return;
  }
  const extra = way === 'reserve more' ? Math.min(1000, MIB - object.length) : 0;
  const window = await writer.reserve(object.length + extra);
  window.fill(0xdd).set(object.payload);
  writer.commitRaw(object.kind, object.digest, ...(extra > 0 ? [object.length] : []));
}

/** Reads the pack back row by row and byte by byte, and checks what holds of every pack. */
function checkPack(layout: StoreLayout, sealed: SealedPack, expected: PackInput[]): void {
  const path = layout.packPath(sealed.id);
  const { table, sizeBytes } = readFooter(path, sealed.id, hasher);
  expect(sizeBytes).toBe(sealed.sizeBytes);
  expect(fs.statSync(path).size).toBe(sizeBytes);
  expect(Buffer.compare(table, sealed.table)).toBe(0);
  expect(table.byteLength).toBe(table.buffer.byteLength);
  expect(rowCount(table)).toBe(expected.length);
  const file = fs.readFileSync(path);
  let end = 0;
  for (const [i, row] of [...rows(table)].entries()) {
    const { payload, ...rest } = expected[i]!;
    expect(row).toEqual({ ...rest, storedLength: payload.byteLength, offset: row.offset });
    expect(Buffer.compare(rowDigest(table, i), rest.digest)).toBe(0);
    expect(Buffer.compare(file.subarray(row.offset, row.offset + row.storedLength), payload)).toBe(0);
    expect(row.offset % (row.encoding === 0 && row.storedLength >= 65536 ? 4096 : 8)).toBe(0);
    expect(file.subarray(end, row.offset).every((byte) => byte === 0)).toBe(true);
    end = row.offset + row.storedLength;
  }
  expect(file.subarray(end, sizeBytes - table.byteLength - TRAILER_BYTES).every((byte) => byte === 0)).toBe(true);
}

describe('a pack', () => {
  it('gives back every object, row by row and byte by byte, whichever writer made it; gaps are zeros', async () => {
    const shelf = await newShelf();
    const memory = buffers();
    await fc.assert(
      fc.asyncProperty(objects, async (list) => {
        const inputs = list.map(({ length, seed, encoding, kind }) => input(length, seed, encoding, kind));
        const writer = new PackWriter(shelf, memory);
        for (const [i, object] of inputs.entries()) await put(writer, object, list[i]!.way);
        expect(writer.objectCount).toBe(inputs.length);
        checkPack(shelf.layout, (await writer.seal())!, inputs);
        checkPack(shelf.layout, writePackSync(shelf, inputs), inputs);
        expect(fs.readdirSync(shelf.layout.incomingDir)).toEqual([]);
      }),
      { numRuns: 60 },
    );
  });

  it('is byte for byte the same from both writers', async () => {
    const shelf = await newShelf();
    const inputs = [5, 70_000, 1, 3_000_000, 65_536, 9].map((length, i) => input(length, i));
    const writer = new PackWriter(shelf, buffers(), GOLDEN_ID);
    for (const object of inputs) await put(writer, object, 'append');
    const big = await writer.seal();
    const bytes = fs.readFileSync(shelf.layout.packPath(GOLDEN_ID));
    expect(writePackSync(shelf, inputs, GOLDEN_ID)).toEqual(big);
    expect(Buffer.compare(fs.readFileSync(shelf.layout.packPath(GOLDEN_ID)), bytes)).toBe(0);
  });

  it('of version 1 has the bytes of the golden file, which gives every object back', async () => {
    const shelf = await newShelf();
    const inputs = [input(1000, 1, 0, 1), input(65_536, 2), handMadeFrame(), input(0, 4, 0, 2), input(17, 5, 0, 3)];
    writePackSync(shelf, inputs, GOLDEN_ID);
    const made = fs.readFileSync(shelf.layout.packPath(GOLDEN_ID));
    if (process.env.CAIRN_WRITE_VECTORS === '1') fs.writeFileSync(GOLDEN, made);
    const golden = fs.readFileSync(GOLDEN);
    expect(Buffer.compare(made, golden)).toBe(0);
    const decoder = new Decoder();
    for (const row of rows(readFooter(fileURLToPath(GOLDEN), GOLDEN_ID, hasher).table)) {
      const target = new Uint8Array(row.length);
      decoder.decodeInto(row.encoding, golden.subarray(row.offset, row.offset + row.storedLength), target);
      expect(digestToHex(hasher.digest(target))).toBe(digestToHex(row.digest));
    }
  });

  it('lies under the first two digits of its id, 0600, and is listed in order with other names left alone', async () => {
    const shelf = await newShelf();
    const ids = Array.from({ length: 5 }, (_, i) => writePackSync(shelf, [input(10, i)]).id);
    for (const id of ids) {
      expect(shelf.layout.packPath(id)).toContain(`packs/${id.slice(0, 2)}/${id}.pack`);
      expect(fs.statSync(shelf.layout.packPath(id)).mode & 0o777).toBe(0o600);
    }
    fs.writeFileSync(`${shelf.layout.packDir(ids[0]!)}/notes.txt`, '');
    fs.writeFileSync(`${shelf.layout.packDir(ids[0]!)}/${'f'.repeat(32)}.pack.bak`, '');
    fs.mkdirSync(`${shelf.layout.packsDir}/zz`);
    expect([...listPacks(shelf.layout)]).toEqual([...ids].sort());
    fs.rmSync(shelf.layout.packsDir, { recursive: true });
    expect(() => [...listPacks(shelf.layout)]).toThrow('ENOENT');
  });
});

describe('PackWriter', () => {
  it('leaves no file when nothing was appended', async () => {
    const shelf = await newShelf();
    const writer = new PackWriter(shelf, buffers());
    (await writer.reserve(1000)).fill(1);
    expect(await writer.seal()).toBeNull();
    expect(fs.readdirSync(shelf.layout.incomingDir)).toEqual([]);
    expect([...listPacks(shelf.layout)]).toEqual([]);
  });

  it('a window ends with the next call, and holds no more than was reserved', async () => {
    const writer = new PackWriter(await newShelf(), buffers());
    const { digest, payload } = input(100, 1);
    expect(() => writer.commitRaw(0, digest)).toThrow(RangeError);
    (await writer.reserve(100)).set(payload);
    expect(() => writer.commitRaw(0, digest, 101)).toThrow(RangeError);
    writer.commitRaw(0, digest);
    expect(() => writer.commitRaw(0, digest)).toThrow(RangeError);
    await writer.reserve(100);
    await writer.append(0, digest, 0, 100, payload);
    expect(() => writer.commitRaw(0, digest, 100)).toThrow(RangeError);
    expect(() => writer.reserve(MIB + 1)).toThrow(RangeError);
    await writer.abort();
  });

  it('refuses what its reader would refuse', async () => {
    const shelf = await newShelf();
    const writer = new PackWriter(shelf, buffers());
    const { digest } = input(1, 1);
    expect(() => writer.append(0, digest, 0, 2, new Uint8Array(1))).toThrow(RangeError);
    expect(() => writer.append(0, digest, 1, 1, new Uint8Array(2))).toThrow(RangeError);
    expect(() => writer.append(0, digest, 1, MAX_OBJECT_BYTES + 1, new Uint8Array(2))).toThrow(RangeError);
    expect(() => writePackSync(shelf, [{ kind: 0, digest, encoding: 0, length: 2, payload: new Uint8Array(1) }])).toThrow(RangeError);
    expect(() => writePackSync(shelf, [])).toThrow(RangeError);
    expect(() => new PackWriter(shelf, [new Uint8Array(MIB), new Uint8Array(2 * MIB)])).toThrow(RangeError);
    expect(() => new PackWriter(shelf, [new Uint8Array(4096), new Uint8Array(4096)])).toThrow(RangeError);
  });

  it('abort removes the file, also with a write in flight, and ends the writer', async () => {
    const shelf = await newShelf();
    const writer = new PackWriter(shelf, buffers());
    for (let i = 0; i < 3; i++) await put(writer, input(MIB, i), 'append');
    expect(listIncoming(shelf.layout)).toEqual([{ owner: 'owner1', id: writer.id, path: shelf.incomingPath(writer.id) }]);
    await writer.abort();
    await writer.abort();
    expect(fs.readdirSync(shelf.layout.incomingDir)).toEqual([]);
    expect(() => writer.reserve(1)).toThrow('aborted');
  });

  it('syncs file, then renames, then syncs the folder; of a new folder also the parent, once', async () => {
    const layout = new StoreLayout(tempDir());
    const disk = await openDisk({ durable: true });
    createStoreFolders(disk, layout);
    const calls: string[] = [];
    const shelf = new PackShelf(recording(disk, calls, layout.dir), layout, 'o', hasher);
    const id = newPackId();
    const folder = `packs/${id.slice(0, 2)}`;
    const writer = new PackWriter(shelf, buffers(), id);
    await put(writer, input(10, 1), 'append');
    await writer.seal();
    const head = ['create', 'write', 'sync', 'close'];
    expect(calls).toEqual([...head, `mkdir ${folder}`, 'syncDirectory packs', 'rename', `syncDirectory ${folder}`]);
    calls.length = 0;
    writePackSync(shelf, [input(10, 1)], asPackId(id.slice(0, 31) + (id.endsWith('0') ? '1' : '0')));
    expect(calls).toEqual(['create', 'write', 'sync', 'close', 'rename', `syncDirectory ${folder}`]);
  });

  it('one sync of the parent does for all folders that were there by then, and for none that came later', async () => {
    const layout = new StoreLayout(tempDir());
    createStoreFolders(await openDisk({ durable: false }), layout);
    const calls: string[] = [];
    const shelf = new PackShelf(recording(await openDisk({ durable: true }), calls, layout.dir), layout, 'o', hasher);
    const packIn = (folder: string): void => void writePackSync(shelf, [input(10, 1)], asPackId(folder + newPackId().slice(2)));
    const parentSyncs = (): number => calls.filter((call) => call === 'syncDirectory packs').length;
    for (const folder of ['00', '01', '02']) fs.mkdirSync(`${layout.packsDir}/${folder}`);
    for (const folder of ['00', '01', '02', '01']) packIn(folder);
    expect(parentSyncs()).toBe(1);
    // Made by somebody else, who may not have synced it yet.
    for (const folder of ['03', '04']) fs.mkdirSync(`${layout.packsDir}/${folder}`);
    for (const folder of ['03', '04', '00']) packIn(folder);
    expect(parentSyncs()).toBe(2);
  });

  it('what has been written goes to the disk while the rest is being made', async () => {
    const layout = new StoreLayout(tempDir());
    const disk = await openDisk({ durable: true });
    createStoreFolders(disk, layout);
    const calls: string[] = [];
    const writer = new PackWriter(new PackShelf(recording(disk, calls, layout.dir), layout, 'o', hasher), buffers());
    for (let i = 0; i < 5; i++) await put(writer, input(MIB, i), 'append');
    await writer.seal();
    const sealing = calls.indexOf('sync');
    expect(calls.indexOf('sync early')).toBeGreaterThan(0);
    expect(calls.lastIndexOf('sync early')).toBeLessThan(sealing);
    expect(calls.lastIndexOf('write')).toBeLessThan(sealing);
  });

  for (const error of ['EIO', 'ENOSPC', 'EMFILE', 'short'] as const) {
    it(`${error} at any disk call fails the pack with a typed error and leaves nothing behind`, async () => {
      const inputs = Array.from({ length: 3 }, (_, i) => input(MIB, i));
      for (const small of [true, false]) {
        let failAt = 1;
        for (; ; failAt++) {
          const shelf = await newShelf({ failAt, error });
          const memory = buffers();
          const writer = small ? undefined : new PackWriter(shelf, memory);
          try {
            if (writer === undefined) writePackSync(shelf, inputs);
            else {
              for (const object of inputs) await put(writer, object, 'reserve');
              await writer.seal();
            }
            break;
          } catch (caught) {
            expect(isCairnError(caught, error === 'short' ? 'ENOSPC' : error), String(caught)).toBe(true);
            if (writer !== undefined) {
              expect(() => writer.reserve(1)).toThrow('failed');
              await expect(writer.seal()).rejects.toThrow('failed');
              await writer.abort();
            }
            expect(fs.readdirSync(shelf.layout.incomingDir)).toEqual([]);
            expect([...listPacks(shelf.layout)]).toEqual([]);
          }
        }
        expect(failAt).toBeGreaterThan(8);
      }
    });
  }
});

describe('reading a footer', () => {
  async function somePack(): Promise<{ shelf: PackShelf; id: PackId; bytes: Buffer; path: string; rowsOf: PackedObject[] }> {
    const shelf = await newShelf();
    const { id, table } = writePackSync(shelf, [input(300, 1), input(65_536, 2), input(40, 3, 1), input(7, 4, 0, 3)]);
    const path = shelf.layout.packPath(id);
    return { shelf, id, path, bytes: fs.readFileSync(path), rowsOf: [...rows(table)] };
  }

  it('finds every single altered byte in it', async () => {
    const { id, bytes } = await somePack();
    const start = bytes.byteLength - 4 * ROW_BYTES - TRAILER_BYTES;
    for (let at = start; at < bytes.byteLength; at++) {
      for (const flip of [0x01, 0x80, 0xff]) {
        const footer = Uint8Array.from(bytes.subarray(start));
        footer[at - start]! ^= flip;
        expect(() => parseFooter(footer, bytes.byteLength, id, hasher), `byte ${at - start}`).toThrow(isDamage(id));
      }
    }
    expect(rowCount(parseFooter(Uint8Array.from(bytes.subarray(start)), bytes.byteLength, id, hasher))).toBe(4);
  });

  it('finds every truncation and every appended byte', async () => {
    const { id, bytes, path } = await somePack();
    for (const size of [0, 1, 79, 80, 81, 300, bytes.byteLength - 81, bytes.byteLength - 80, bytes.byteLength - 8, bytes.byteLength - 1]) {
      fs.writeFileSync(path, bytes.subarray(0, size));
      expect(() => readFooter(path, id, hasher), `${size} bytes`).toThrow(isDamage(id));
    }
    fs.writeFileSync(path, Buffer.concat([bytes, Buffer.alloc(1)]));
    expect(() => readFooter(path, id, hasher)).toThrow(isDamage(id));
    fs.writeFileSync(path, Buffer.concat([bytes, bytes.subarray(-TRAILER_BYTES)]));
    expect(() => readFooter(path, id, hasher)).toThrow(isDamage(id));
  });

  it('a missing pack, or another one under its name, is damage of that pack', async () => {
    const { shelf, id, path } = await somePack();
    const other = newPackId();
    expect(() => readFooter(shelf.layout.packPath(other), other, hasher)).toThrow(isDamage(other));
    fs.mkdirSync(dirname(shelf.layout.packPath(other)), { recursive: true });
    fs.renameSync(path, shelf.layout.packPath(other));
    expect(() => readFooter(shelf.layout.packPath(other), other, hasher)).toThrow(isDamage(other));
    fs.mkdirSync(path);
    expect(() => readFooter(path, id, hasher)).toThrow(isDamage(id));
  });

  it('arbitrary bytes with a valid end are damage, whatever lengths they declare', () => {
    const id = newPackId();
    fc.assert(
      fc.property(fc.uint8Array({ minLength: TRAILER_BYTES, maxLength: 400 }), fc.nat(), (bytes, extra) => {
        const sealed = encodeFooter(id, 0, new Uint8Array(0), hasher);
        bytes.set(sealed.subarray(64), bytes.byteLength - 16);
        expect(() => parseFooter(bytes, bytes.byteLength + extra, id, hasher)).toThrow(isDamage(id));
      }),
      { numRuns: 500 },
    );
  });

  it('believes no row because its checksum holds: impossible ones are damage', async () => {
    const { id, rowsOf } = await somePack();
    const end = 200_000;
    const parse = (change: (row: PackedObject[]) => void): unknown => {
      const copy = rowsOf.map((row) => ({ ...row }));
      change(copy);
      const builder = new TableBuilder();
      for (const row of copy) builder.add(row);
      const footer = encodeFooter(id, end, builder.finish(), hasher);
      return parseFooter(footer, end + footer.byteLength, id, hasher);
    };
    expect(parse(() => undefined)).toBeInstanceOf(Uint8Array);
    expect(() => parse((row) => (row[3]!.offset = end - 6))).toThrow(isDamage(id));
    expect(() => parse((row) => (row[3]!.offset = Number.MAX_SAFE_INTEGER))).toThrow(isDamage(id));
    expect(() => parse((row) => (row[1]!.offset = 299))).toThrow(isDamage(id));
    expect(() => parse((row) => row.reverse())).toThrow(isDamage(id));
    expect(() => parse((row) => (row[0]!.length = 301))).toThrow(isDamage(id));
    expect(() => parse((row) => (row[2]!.length = 39))).toThrow(isDamage(id));
    expect(() => parse((row) => (row[2]!.length = MAX_OBJECT_BYTES + 1))).toThrow(isDamage(id));
    expect(() => parse((row) => (row[0]!.kind = 9 as never))).toThrow(StoreFormatError);
  });

  it('what a newer version wrote is a format error, not damage', async () => {
    const { id } = await somePack();
    const resealed = (change: (trailer: DataView) => void): Uint8Array => {
      const footer = encodeFooter(id, 0, new Uint8Array(0), hasher);
      change(new DataView(footer.buffer));
      footer.fill(0, 32, 64);
      footer.set(hasher.digest(footer), 32);
      return footer;
    };
    const flags = resealed((trailer) => trailer.setUint32(28, 1, true));
    expect(() => parseFooter(flags, flags.byteLength, id, hasher)).toThrow(StoreFormatError);
    const version = resealed((trailer) => {
      trailer.setUint32(64, 2, true);
      trailer.setUint32(68, ~2, true);
    });
    expect(() => parseFooter(version, version.byteLength, id, hasher)).toThrow(StoreFormatError);
  });
});

describe('PackFiles', () => {
  async function severalPacks(count: number): Promise<{ layout: StoreLayout; packs: { id: PackId; payload: Uint8Array }[] }> {
    const shelf = await newShelf();
    const packs = Array.from({ length: count }, (_, i) => {
      const object = input(100 + i, i);
      return { id: writePackSync(shelf, [object]).id, payload: object.payload };
    });
    return { layout: shelf.layout, packs };
  }

  it('reads what was written with no more than its share of descriptors', async () => {
    const { layout, packs } = await severalPacks(10);
    const files = new PackFiles(layout, 3);
    const before = openDescriptors();
    for (let round = 0; round < 3; round++) {
      for (const { id, payload } of packs) expect(Buffer.compare(files.readSync(id, 0, payload.byteLength), payload)).toBe(0);
    }
    expect(openDescriptors() - before).toBeLessThanOrEqual(3);
    const target = new Uint8Array(500);
    expect(files.readSync(packs[0]!.id, 10, 20, target).buffer).toBe(target.buffer);
    expect(Buffer.compare(target.subarray(0, 20), packs[0]!.payload.subarray(10, 30))).toBe(0);
    files.closeAll();
    expect(openDescriptors()).toBe(before);
  });

  it('keeps what was used last', async () => {
    const { layout, packs } = await severalPacks(3);
    const files = new PackFiles(layout, 2);
    const [a, b, c] = packs.map(({ id }) => id) as [PackId, PackId, PackId];
    files.fd(a);
    files.fd(b);
    files.fd(a);
    files.fd(c);
    const open = vi.spyOn(fs, 'openSync');
    files.fd(a);
    expect(open).not.toHaveBeenCalled();
    files.fd(b);
    expect(open).toHaveBeenCalledOnce();
    open.mockRestore();
    files.closeAll();
  });

  it('a missing pack and a read past its end are damage of that pack', async () => {
    const { layout, packs } = await severalPacks(1);
    const files = new PackFiles(layout);
    const missing = newPackId();
    expect(() => files.readSync(missing, 0, 1)).toThrow(isDamage(missing));
    const { id } = packs[0]!;
    expect(() => files.readSync(id, fs.statSync(layout.packPath(id)).size - 5, 6)).toThrow(isDamage(id));
    files.forget(id);
    fs.unlinkSync(layout.packPath(id));
    expect(() => files.readSync(id, 0, 1)).toThrow(isDamage(id));
    files.closeAll();
  });

  it('gives its own descriptors up when the process has none left', async () => {
    const { layout, packs } = await severalPacks(2);
    const files = new PackFiles(layout);
    files.fd(packs[0]!.id);
    const out = Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
    const open = vi.spyOn(fs, 'openSync').mockImplementationOnce(() => {
      throw out;
    });
    const { id, payload } = packs[1]!;
    expect(Buffer.compare(files.readSync(id, 0, payload.byteLength), payload)).toBe(0);
    open.mockImplementation(() => {
      throw out;
    });
    expect(() => files.fd(packs[0]!.id)).toThrow(expect.objectContaining({ code: 'EMFILE' }));
    open.mockRestore();
    files.closeAll();
  });
});

function openDescriptors(): number {
  return fs.existsSync('/proc/self/fd') ? fs.readdirSync('/proc/self/fd').length : 0;
}

/** Matches a DamageError that names the pack. */
function isDamage(id: PackId): Error {
  return expect.objectContaining({ code: 'CAIRN_DAMAGED', damage: [{ kind: 'pack', id, affects: [] }] }) as Error;
}

/** Writes down every call, in the order in which they are done. */
function recording(disk: Disk, calls: string[], root: string): Disk {
  const name = (path: string): string => path.slice(root.length + 1);
  return {
    ...handOn(disk),
    create(path) {
      calls.push('create');
      const file = disk.create(path);
      return {
        ...handOn(file),
        path,
        fd: file.fd,
        writeSync: (bytes, position) => (calls.push('write'), file.writeSync(bytes, position)),
        write: (bytes, position) => (calls.push('write'), file.write(bytes, position)),
        syncSync: () => (calls.push('sync'), file.syncSync()),
        sync: () => (calls.push('sync early'), file.sync()),
        closeSync: () => (calls.push('close'), file.closeSync()),
      };
    },
    mkdir: (path) => (calls.push(`mkdir ${name(path)}`), disk.mkdir(path)),
    rename: (from, to) => (calls.push('rename'), disk.rename(from, to)),
    link: (from, to) => (calls.push('link'), disk.link(from, to)),
    unlink: (path) => (calls.push('unlink'), disk.unlink(path)),
    syncDirectory: (path) => (calls.push(`syncDirectory ${name(path)}`), disk.syncDirectory(path)),
  };
}
