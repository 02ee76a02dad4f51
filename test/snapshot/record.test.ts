import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { DamageError, InvalidArgumentError } from '../../packages/core/src/errors.js';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { asDigest, digestToHex, type Digest } from '../../packages/core/src/hash/digest.js';
import type { VolumeId } from '../../packages/core/src/refs/ref-table.js';
import { decodeSnapshotRecord, encodeSnapshotRecord, type SnapshotRecord } from '../../packages/core/src/snapshot/record.js';

const hasher = createHasher();
const digests = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(asDigest);
const values = fc.oneof(
  fc.string({ unit: 'grapheme' }),
  fc.boolean(),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value)),
);
const records: fc.Arbitrary<SnapshotRecord> = fc.record({
  volumeId: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((id) => Buffer.from(id).toString('hex') as VolumeId),
  generation: fc.maxSafeNat(),
  parent: fc.option(digests),
  root: fc.option(digests),
  createdAtMs: fc.maxSafeNat(),
  newBytes: fc.maxSafeNat(),
  message: fc.string({ unit: 'grapheme' }),
  metadata: fc.dictionary(fc.string({ unit: 'grapheme' }), values, { noNullPrototype: true }),
});

/** `fill` repeated: a digest for people to read. */
const filled = (fill: number): Digest => asDigest(new Uint8Array(32).fill(fill));

describe('a snapshot record', () => {
  it('gives back what was written, and has one encoding only', () => {
    fc.assert(
      fc.property(records, (record) => {
        const bytes = encodeSnapshotRecord(record);
        expect(decodeSnapshotRecord(bytes)).toEqual(record);
        expect(encodeSnapshotRecord({ ...record, metadata: Object.fromEntries(Object.entries(record.metadata).reverse()) })).toEqual(bytes);
      }),
    );
  });

  it('has the bytes that format version 1 gives it', () => {
    const record: SnapshotRecord = {
      volumeId: '00112233445566778899aabbccddeeff' as VolumeId,
      generation: 300,
      parent: filled(0xaa),
      root: filled(0xbb),
      createdAtMs: 1_700_000_000_000,
      newBytes: 0x4000,
      message: 'épo',
      metadata: { b: true, a: 0.5, c: 'x' },
    };
    const hex = [
      '0103' + '00112233445566778899aabbccddeeff' + 'ac02' + '80d095ffbc31' + '808001',
      'aa'.repeat(32) + 'bb'.repeat(32) + '04c3a9706f' + '03',
      '0161' + '01' + '000000000000e03f' + '0162' + '03' + '0163' + '00' + '0178',
    ].join('');
    expect(Buffer.from(encodeSnapshotRecord(record)).toString('hex')).toBe(hex);
  });

  it('cut short, extended or with any bit flipped is damaged, or is another record with another id', () => {
    const record = {
      volumeId: 'ab'.repeat(16) as VolumeId,
      generation: 3,
      parent: null,
      root: filled(1),
      createdAtMs: 5,
      newBytes: 6,
      message: 'm',
      metadata: { a: 1, b: 'two' },
    };
    const bytes = encodeSnapshotRecord(record);
    for (let length = 0; length < bytes.byteLength; length++)
      expect(() => decodeSnapshotRecord(bytes.subarray(0, length))).toThrow(DamageError);
    expect(() => decodeSnapshotRecord(Uint8Array.of(...bytes, 0))).toThrow(DamageError);
    for (let bit = 0; bit < bytes.byteLength * 8; bit++) {
      const altered = Uint8Array.from(bytes);
      altered[bit >> 3]! ^= 1 << (bit & 7);
      const again = reencoded(altered);
      if (again !== undefined) expect(digestToHex(hasher.digest(again))).toBe(digestToHex(hasher.digest(altered)));
    }
  });

  it('never crashes a reader, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void reencoded(bytes)),
      { numRuns: 2000 },
    );
  });

  it('refuses metadata of other types, and more than a file should hold', () => {
    const record = {
      volumeId: 'ab'.repeat(16) as VolumeId,
      generation: 1,
      parent: null,
      root: null,
      createdAtMs: 0,
      newBytes: 0,
      message: '',
      metadata: {},
    };
    for (const value of [NaN, Infinity, null, {}, undefined])
      expect(() => encodeSnapshotRecord({ ...record, metadata: { value: value as never } })).toThrow(InvalidArgumentError);
    expect(() => encodeSnapshotRecord({ ...record, message: 'x'.repeat(1 << 20) })).toThrow(InvalidArgumentError);
  });
});

/** Undefined for damaged bytes; anything but a DamageError fails the test. */
function reencoded(bytes: Uint8Array): Uint8Array | undefined {
  let record: SnapshotRecord;
  try {
    record = decodeSnapshotRecord(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(DamageError);
    return undefined;
  }
  return encodeSnapshotRecord(record);
}
