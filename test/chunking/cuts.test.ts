import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CHUNK_MAX, CHUNK_MIN, chunkGeneric, CutSelector, nextCut } from '../../packages/core/src/chunking/cuts.js';
import { GEAR_TABLE } from '../../packages/core/src/chunking/gear-table.js';
import { PlainGearScanner } from '../../packages/core/src/chunking/gear-scan.js';
import { WasmGearScanner } from '../../packages/core/src/chunking/gear.js';
import { sha256, splitMix, trap } from './samples.js';

/** The rule, word for word as the Xet specification has it: every byte hashed, nothing skipped. */
function naiveCuts(bytes: Uint8Array): number[] {
  const cuts: number[] = [];
  let h = 0n;
  let size = 0;
  bytes.forEach((byte, i) => {
    h = BigInt.asUintN(64, (h << 1n) + GEAR_TABLE[byte]!);
    size++;
    if (size < 8192) return;
    if ((h & 0xffff000000000000n) === 0n || size === 131072) {
      cuts.push(i + 1);
      h = 0n;
      size = 0;
    }
  });
  if (size > 0) cuts.push(bytes.length);
  return cuts;
}

const scanners = { wasm: new WasmGearScanner(), plain: new PlainGearScanner() };
const noise = splitMix(1_000_000, 0n);

/** Bytes with very many, few and no triggers, next to each other. */
const mixture = fc
  .array(
    fc.oneof(
      fc
        .record({ at: fc.nat(900_000), length: fc.integer({ min: 1, max: 100_000 }) })
        .map(({ at, length }) => noise.subarray(at, at + length)),
      fc.record({ pad: fc.nat(100), length: fc.integer({ min: 1, max: 60_000 }) }).map(({ pad, length }) => trap(length, pad)),
      fc
        .record({ byte: fc.nat(255), length: fc.integer({ min: 1, max: 200_000 }) })
        .map(({ byte, length }) => new Uint8Array(length).fill(byte)),
    ),
    { maxLength: 5 },
  )
  .map((parts) => new Uint8Array(Buffer.concat(parts)));

describe.each(Object.entries(scanners))('cuts with the %s scanner', (_, scanner) => {
  it('are those of the published vectors: noise (A, C)', () => {
    expect(sha256(noise)).toBe('b3d0a1f7938cd4d8413a4dcffd4313e2e8ac0cb61cb1090eb140ea8e9154befb');
    expect(chunkGeneric(noise, scanner)).toEqual([
      84493, 134421, 144853, 243318, 271793, 336457, 467529, 494581, 582000, 596735, 616815, 653164, 678202, 724510, 815591, 827760, 958832,
      991092, 1000000,
    ]);
    expect(chunkGeneric(splitMix(256_000, 1n), scanner)).toEqual([25125, 104497, 235569, 256000]);
  });

  it('are those of the published vectors: no trigger at all (B)', () => {
    const expected = [131072, 262144, 393216, 524288, 655360, 786432, 917504, 1_000_000];
    expect(chunkGeneric(new Uint8Array(1_000_000).fill(59), scanner)).toEqual(expected);
  });

  it.each([
    [0, [8256, 16448, 24640, 32832, 41024, 49216, 57408, 65536]],
    [1, [8320, 16576, 24832, 33088, 41344, 49600, 57856, 65536]],
    [24, [8272, 16480, 24688, 32896, 41104, 49312, 57520, 65536]],
    [53, [8209, 16535, 24861, 33187, 41513, 49839, 58165, 65536]],
  ])('are those of the published vectors: triggers just below the minimum, pad %i (D)', (pad, expected) => {
    expect(chunkGeneric(trap(65_536, pad), scanner)).toEqual(expected);
  });

  it('are those of the rule read word for word', () => {
    fc.assert(
      fc.property(mixture, (bytes) => {
        expect(chunkGeneric(bytes, scanner)).toEqual(naiveCuts(bytes));
      }),
      { numRuns: 25 },
    );
  });

  it('are none for no bytes and one for a short input', () => {
    expect(chunkGeneric(new Uint8Array(0), scanner)).toEqual([]);
    for (const length of [1, 63, 64, 65, CHUNK_MIN - 1, CHUNK_MIN]) expect(chunkGeneric(new Uint8Array(length), scanner)).toEqual([length]);
  });

  it('do not depend on how much is there when the next cut is asked for', () => {
    fc.assert(
      fc.property(mixture, fc.array(fc.integer({ min: 1, max: 90_000 }), { minLength: 1, maxLength: 9 }), (bytes, steps) => {
        const cuts: number[] = [];
        let [start, scanned, available] = [0, 0, 0];
        for (let i = 0; available < bytes.length; i++) {
          available = Math.min(bytes.length, available + steps[i % steps.length]!);
          for (let cut; (cut = nextCut(scanner, bytes, start, scanned, available)) !== 0; start = scanned = cut) cuts.push(cut);
          scanned = available;
        }
        if (start < bytes.length) cuts.push(bytes.length);
        expect(cuts).toEqual(chunkGeneric(bytes, scanner));
      }),
      { numRuns: 60 },
    );
  });

  it('can be selected from triggers of segments that are scanned apart, in steps of any size, anywhere in a file', () => {
    fc.assert(
      fc.property(
        mixture,
        fc.array(fc.integer({ min: 1, max: 90_000 }), { minLength: 1, maxLength: 9 }),
        fc.constantFrom(1, 2, 7, 5000),
        fc.constantFrom(0, 12345, 2 ** 40),
        (bytes, steps, room, origin) => {
          const selector = new CutSelector(origin);
          const out = new Uint32Array(room);
          const cuts: number[] = [];
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const end = Math.min(bytes.length, at + steps[i % steps.length]!);
            // Each segment stands alone in memory of its own, with its warm-up before it.
            const base = Math.max(0, at - 63);
            const segment = bytes.slice(base, end);
            for (let from = at - base; ;) {
              const count = scanner.scan(segment, from, segment.length, out);
              const scannedTo = count === room ? out[count - 1]! : segment.length;
              selector.advance(out, count, origin + base, origin + base + scannedTo, cuts);
              if (count < room) break;
              from = scannedTo;
            }
            at = end;
          }
          selector.finish(origin + bytes.length, cuts);
          expect(cuts).toEqual(chunkGeneric(bytes, scanner).map((cut) => origin + cut));
        },
      ),
      { numRuns: 60 },
    );
  });

  it('leave chunks within the limits, and only the last one may be shorter', () => {
    const cuts = chunkGeneric(noise, scanner);
    const lengths = cuts.map((cut, i) => cut - (cuts[i - 1] ?? 0));
    expect(lengths.slice(0, -1).every((length) => length >= CHUNK_MIN && length <= CHUNK_MAX)).toBe(true);
  });
});
