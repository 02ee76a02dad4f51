import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe } from 'vitest';
import { openDisk } from '../../packages/core/src/disk/open-disk.js';
import { Decoder } from '../../packages/core/src/encoding/decoder.js';
import { Encoder } from '../../packages/core/src/encoding/encoder.js';
import { Encoding } from '../../packages/core/src/encoding/encoding.js';
import { loadZstd } from '../../packages/core/src/encoding/zstd.js';
import { isCairnError } from '../../packages/core/src/errors.js';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { checkDigest, decodeObject } from '../../packages/core/src/objects/verified-object.js';
import { encodeFooter, MAX_OBJECT_BYTES, parseFooter, TRAILER_BYTES } from '../../packages/core/src/pack/footer.js';
import { ROW_BYTES, rows, TableBuilder } from '../../packages/core/src/pack/object-table.js';
import { asPackId, packIdFromBytes } from '../../packages/core/src/pack/pack-id.js';
import { PackFiles } from '../../packages/core/src/pack/pack-files.js';
import { PackShelf } from '../../packages/core/src/pack/pack-shelf.js';
import { readFooter } from '../../packages/core/src/pack/read-footer.js';
import { writePackSync, type PackInput } from '../../packages/core/src/pack/small-pack.js';
import { createStoreFolders, readStoreFormat } from '../../packages/core/src/pack/store-format.js';
import { StoreLayout } from '../../packages/core/src/pack/store-layout.js';
import { noise } from '../support/random.js';
import type { Dice } from './dice.js';
import { fuzz } from './fuzz.js';
import type { Field } from './mutate.js';

const hasher = createHasher('auto');
const ID = asPackId('00112233445566778899aabbccddeeff');
const PAYLOAD_BYTES = 4096;
/** Where numbers lie in a trailer and in a row, as docs/format.md draws them. */
const TRAILER: Field[] = [{ at: 16, bytes: 8 }, { at: 24, bytes: 4 }, { at: 28, bytes: 4 }, { at: 64, bytes: 4 }, { at: 68, bytes: 4 }]; // prettier-ignore
const ROW: Field[] = [{ at: 32, bytes: 8 }, { at: 40, bytes: 4 }, { at: 44, bytes: 4 }, { at: 48, bytes: 1 }, { at: 49, bytes: 1 }, { at: 50, bytes: 2 }]; // prettier-ignore
const DIGEST_AT = 32;

const dir = fs.mkdtempSync(join(tmpdir(), 'cairn-fuzz-'));
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));
const layout = new StoreLayout(dir);
const disk = await openDisk({ durable: false });
createStoreFolders(disk, layout);

/** Objects of all kinds, raw and compressed. */
function inputs(count: number): PackInput[] {
  const encoder = new Encoder('fast');
  return Array.from({ length: count }, (_, i): PackInput => {
    const bytes = i % 3 === 0 ? Buffer.from(`all work and no play ${i} `.repeat(40)) : Buffer.from(noise(20 + 37 * i, i));
    const frame = i % 3 === 0 ? encoder.encode(bytes, 'data') : null;
    const payload = frame === null ? bytes : Uint8Array.from(frame);
    return {
      kind: (i % 4) as PackInput['kind'],
      digest: hasher.digest(bytes),
      encoding: frame === null ? 0 : 1,
      length: bytes.length,
      payload,
    };
  });
}

function footers(): Uint8Array[] {
  return [0, 1, 3, 20].map((count) => {
    const builder = new TableBuilder();
    let offset = 0;
    for (const { payload, ...object } of inputs(count)) {
      builder.add({ ...object, storedLength: payload.length, offset });
      offset += 8 * Math.ceil(payload.length / 8);
    }
    return encodeFooter(ID, Math.max(offset, PAYLOAD_BYTES), builder.finish(), hasher);
  });
}

function footerFields(bytes: Buffer, start = 0): Field[] {
  const trailer = bytes.length - TRAILER_BYTES;
  if (trailer < start) return [];
  const row = start + ROW_BYTES * Math.floor((trailer - start) / ROW_BYTES / 2);
  return [
    ...TRAILER.map(({ at, bytes: width }) => ({ at: trailer + at, bytes: width })),
    ...ROW.map(({ at, bytes: width }) => ({ at: row + at, bytes: width })),
  ];
}

/** Makes the digest of the last `footer` bytes right, and often the counts too. */
function resealFooter(bytes: Buffer, dice: Dice, tableAt: number): Buffer {
  if (bytes.length < tableAt + TRAILER_BYTES) return bytes;
  let sealed = bytes;
  const isWhole = dice.oneIn(2);
  if (isWhole) {
    const table = ROW_BYTES * Math.floor((bytes.length - tableAt - TRAILER_BYTES) / ROW_BYTES);
    sealed = Buffer.concat([bytes.subarray(0, tableAt + table), bytes.subarray(bytes.length - TRAILER_BYTES)]);
    const trailer = sealed.length - TRAILER_BYTES;
    sealed.writeBigUInt64LE(BigInt(tableAt), trailer + 16);
    sealed.writeUInt32LE(table / ROW_BYTES, trailer + 24);
    if (!dice.oneIn(8)) sealed.writeUInt32LE(0, trailer + 28);
    sealed.writeUInt32LE(1, trailer + 64);
    sealed.writeUInt32LE(~1 >>> 0, trailer + 68);
    sealed.write('cairnpak', trailer + 72, 'latin1');
    // Rows that are another one's with another offset, as a writer would have put them.
    if (!dice.oneIn(4)) for (let row = tableAt; row < trailer; row += ROW_BYTES) sealed.fill(0, row + 50, row + ROW_BYTES);
  }
  const trailer = sealed.length - TRAILER_BYTES;
  const rowCount = sealed.readUInt32LE(trailer + 24);
  const from = Math.max(0, trailer - rowCount * ROW_BYTES);
  sealed.fill(0, trailer + DIGEST_AT, trailer + DIGEST_AT + 32);
  sealed.set(hasher.digest(sealed.subarray(from)), trailer + DIGEST_AT);
  return sealed;
}

describe('packs', () => {
  fuzz({
    name: 'pack footer and object table',
    share: 90,
    samples: footers(),
    fields: footerFields,
    reseal(bytes, dice) {
      // Payloads come before a footer: of a mutant as long as it says itself, or as they were.
      const sealed = resealFooter(bytes, dice, 0);
      if (sealed.length < TRAILER_BYTES || dice.oneIn(4)) return sealed;
      const trailer = sealed.length - TRAILER_BYTES;
      sealed.writeBigUInt64LE(BigInt(dice.pick([PAYLOAD_BYTES, 20_000, 2 ** 40])), trailer + 16);
      sealed.fill(0, trailer + DIGEST_AT, trailer + DIGEST_AT + 32);
      sealed.set(hasher.digest(sealed), trailer + DIGEST_AT);
      return sealed;
    },
    check(bytes) {
      const trailer = bytes.length - TRAILER_BYTES;
      const said = trailer < 0 ? 0n : bytes.readBigUInt64LE(trailer + 16);
      const sizeBytes = (said < 2n ** 50n ? Number(said) : PAYLOAD_BYTES) + bytes.length;
      const id = trailer < 0 || bytes[0]! % 16 === 1 ? ID : packIdFromBytes(bytes, trailer);
      const given = Buffer.from(bytes);
      const table = parseFooter(bytes, sizeBytes, id, hasher);
      const builder = new TableBuilder();
      let end = 0;
      for (const row of rows(table)) {
        if (row.offset < end || row.offset + row.storedLength > sizeBytes - bytes.length) throw new Error('a row out of its place');
        if (row.length > MAX_OBJECT_BYTES || row.storedLength > row.length) throw new Error('a row of impossible lengths');
        end = row.offset + row.storedLength;
        builder.add(row);
      }
      const again = encodeFooter(id, sizeBytes - bytes.length, builder.finish(), hasher);
      if (!given.equals(again)) throw new Error('read, and written as something else');
    },
    memory: { perByte: 8, fixed: 4000 },
  });

  const shelf = new PackShelf(disk, layout, 'fuzz', hasher);
  const packs = [inputs(1), inputs(4), inputs(13)].map((objects) => {
    const { id } = writePackSync(shelf, objects, ID);
    const bytes = fs.readFileSync(layout.packPath(id));
    fs.rmSync(layout.packPath(id));
    return bytes;
  });
  const decoder = new Decoder();
  fs.mkdirSync(dirname(layout.packPath(ID)), { recursive: true });

  fuzz({
    name: 'pack file',
    share: 12,
    samples: packs,
    fields: (bytes) => footerFields(bytes, tableOf(bytes)),
    reseal: (bytes, dice) => resealFooter(bytes, dice, tableOf(bytes)),
    check(bytes) {
      fs.writeFileSync(layout.packPath(ID), bytes);
      const files = new PackFiles(layout);
      try {
        const { table } = readFooter(layout.packPath(ID), ID, hasher);
        const refused: Error[] = [];
        for (const object of rows(table)) {
          try {
            const stored = files.readSync(ID, object.offset, object.storedLength);
            const logical = new Uint8Array(object.length);
            decodeObject(decoder, object, object.encoding, stored, logical);
            checkDigest(hasher, object, logical);
          } catch (error) {
            refused.push(error as Error);
          }
        }
        const untyped = refused.find((error) => !isCairnError(error));
        if (refused.length > 0) throw untyped ?? refused[0]!;
      } finally {
        files.closeAll();
      }
    },
    // Each of twenty rows may declare an object of the greatest length.
    memory: { perByte: 1000, fixed: 20 * (MAX_OBJECT_BYTES + 4096) },
  });

  function tableOf(bytes: Buffer): number {
    const said = bytes.length < TRAILER_BYTES ? 0n : bytes.readBigUInt64LE(bytes.length - TRAILER_BYTES + 16);
    return said > BigInt(Math.max(0, bytes.length - TRAILER_BYTES)) ? 0 : Number(said);
  }

  fuzz({
    name: 'format line of a store',
    share: 8,
    samples: [Buffer.from('cairn-store 1 00112233445566778899aabbccddeeff\n')],
    tokens: ['cairn-store ', '\n', ' ', '2 ', '0'].map((text) => Buffer.from(text)),
    check(bytes) {
      fs.writeFileSync(layout.formatPath, bytes);
      const { version, storeId } = readStoreFormat(layout);
      if (bytes.toString('latin1') !== `cairn-store ${version} ${storeId}\n` && !/^cairn-store 0+1 /.test(bytes.toString('latin1')))
        throw new Error('another line');
    },
    memory: { perByte: 4, fixed: 4096 },
  });
});

describe('zstd', () => {
  const zstd = loadZstd();
  const texts = [
    Buffer.from('a'.repeat(100_000)),
    Buffer.from('all work and no play '.repeat(500)),
    Buffer.from(noise(3000, 1)),
    Buffer.alloc(0),
  ];
  const frames = texts.map((text) => {
    const target = Buffer.alloc(zstd.compressBound(text.length));
    return Buffer.from(target.subarray(0, new zstd.CCtx().compress(target, text, 3)));
  });
  const decoder = new Decoder();

  /** -1 where there is no header that says. */
  function declaredBytes(bytes: Buffer): number {
    try {
      return zstd.getFrameContentSize(bytes) ?? -1;
    } catch {
      return -1;
    }
  }

  fuzz({
    name: 'zstd frame',
    share: 60,
    samples: frames,
    tokens: [Buffer.from('28b52ffd', 'hex'), Buffer.from('502a4d18ff000000', 'hex'), frames[0]!],
    fields: () => [{ at: 4, bytes: 1 }, { at: 5, bytes: 1 }, { at: 5, bytes: 2 }, { at: 6, bytes: 4 }, { at: 6, bytes: 8 }], // prettier-ignore
    check(bytes, dice) {
      const declared = declaredBytes(bytes);
      const other = dice?.oneIn(3) === true || !(declared >= 0 && declared <= 1 << 20);
      const length = other ? dice!.pick(texts).length : declared;
      const target = Buffer.alloc(length + 16, 0xee);
      decoder.decodeInto(Encoding.zstd, bytes, target.subarray(0, length));
      if (!target.subarray(length).every((byte) => byte === 0xee)) throw new Error('bytes beyond the target');
      if (declared !== length) throw new Error(`${declared} declared bytes in a target of ${length}`);
    },
    memory: { perByte: 2, fixed: (1 << 20) + 64 },
  });
});
