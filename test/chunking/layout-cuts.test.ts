import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chunkGeneric, TENSOR_BLOCK } from '../../packages/core/src/chunking/cuts.js';
import { WasmGearScanner } from '../../packages/core/src/chunking/gear.js';
import { blockEnd, chunkBytes, LayoutCursor, PieceKind, plannedCuts } from '../../packages/core/src/chunking/layout-cuts.js';
import { GENERIC_LAYOUT, layoutOf } from '../../packages/core/src/chunking/layout.js';
import { safetensorsHeader, type SampleTensor, splitMix } from './samples.js';

const scanner = new WasmGearScanner();
const noise = splitMix(4_000_000, 11n);

function file(tensors: SampleTensor[], dataBytes: number, metadata?: Record<string, string>): Uint8Array {
  return new Uint8Array(Buffer.concat([safetensorsHeader(tensors, metadata), noise.subarray(0, dataBytes)]));
}

/** Random tensors with gaps, and a length that may end inside or beyond them. */
const files = fc
  .record({
    parts: fc.array(
      fc.record({ gap: fc.constantFrom(0, 0, 1, 20_000), size: fc.constantFrom(0, 1, 1000, TENSOR_BLOCK, TENSOR_BLOCK + 1, 300_000) }),
      { maxLength: 6 },
    ),
    end: fc.integer({ min: -400_000, max: 400_000 }),
  })
  .map(({ parts, end }) => {
    let at = 0;
    const tensors = parts.map(({ gap, size }, i): SampleTensor => {
      const start = at + gap;
      at = start + size;
      return { name: `t${i}`, dtype: 'U8', offsets: [start, at] };
    });
    return file(tensors, Math.max(0, Math.min(noise.length, at + end)));
  });

describe('the cuts of a file', () => {
  it('are blocks of 1 MiB from each tensor start, and generic chunks elsewhere', () => {
    const size = 2 * TENSOR_BLOCK + 5;
    const bytes = file(
      [
        { name: 'a', offsets: [0, size] },
        { name: 'b', offsets: [size + 30_000, size + 30_001] },
      ],
      size + 230_001,
    );
    const data = bytes.length - size - 230_001;
    const gap = chunkGeneric(bytes.subarray(data + size, data + size + 30_000), scanner).map((cut) => data + size + cut);
    const tail = chunkGeneric(bytes.subarray(data + size + 30_001), scanner).map((cut) => data + size + 30_001 + cut);
    expect(chunkBytes(bytes, scanner)).toEqual([
      data,
      data + TENSOR_BLOCK,
      data + 2 * TENSOR_BLOCK,
      data + size,
      ...gap,
      data + size + 30_001,
      ...tail,
    ]);
  });

  it('ascend to the end of the file, with an end at every region', () => {
    fc.assert(
      fc.property(files, (bytes) => {
        const cuts = chunkBytes(bytes, scanner);
        expect(cuts).toEqual([...new Set(cuts)].sort((a, b) => a - b));
        expect(cuts.at(-1)).toBe(bytes.length);
        for (const { end } of layoutOf(bytes).regions) if (end <= bytes.length) expect(cuts).toContain(end);
      }),
      { numRuns: 40 },
    );
  });

  it('are none for an empty file, and those of the generic rule without a layout', () => {
    expect(chunkBytes(new Uint8Array(0), scanner)).toEqual([]);
    expect(chunkBytes(noise, scanner)).toEqual(chunkGeneric(noise, scanner));
  });

  it('leave all other chunks alone when the header changes, so that a renamed model stores one new chunk', () => {
    const tensors: SampleTensor[] = [{ name: 'w', offsets: [0, 3_000_000] }];
    const lengths = (bytes: Uint8Array): number[] => chunkBytes(bytes, scanner).map((cut, i, all) => cut - (all[i - 1] ?? 0));
    const [, ...before] = lengths(file(tensors, 3_000_000));
    const [, ...after] = lengths(file(tensors, 3_000_000, { note: 'a header of another length' }));
    expect(after).toEqual(before);
  });
});

describe('a plan of cuts', () => {
  it('made in parts is that made at once', () => {
    fc.assert(
      fc.property(files, fc.array(fc.nat(3_000_000), { maxLength: 5 }), (bytes, stops) => {
        const layout = layoutOf(bytes);
        const whole = plannedCuts(layout, bytes.length);
        const ends: number[] = [];
        const kinds: number[] = [];
        let at = 0;
        for (const stop of [...stops.sort((a, b) => a - b), Infinity]) {
          const part = plannedCuts(layout, bytes.length, at, stop);
          expect(part.start).toBe(at);
          ends.push(...part.ends);
          kinds.push(...part.kinds);
          at = part.ends.at(-1) ?? at;
        }
        expect(ends).toEqual([...whole.ends]);
        expect(kinds).toEqual([...whole.kinds]);
      }),
      { numRuns: 60 },
    );
  });

  it('tells blocks of floating-point tensors from those of others, and clips a file that ends early', () => {
    const header = safetensorsHeader([
      { name: 'w', dtype: 'BF16', shape: [4], offsets: [0, 8] },
      { name: 'i', dtype: 'I8', shape: [8], offsets: [8, 16] },
    ]);
    const h = header.length;
    const plan = plannedCuts(layoutOf(header), h + 12);
    expect([...plan.ends]).toEqual([h, h + 8, h + 12]);
    expect([...plan.kinds]).toEqual([PieceKind.generic, PieceKind.floatChunk, PieceKind.chunk]);
    expect(plannedCuts(GENERIC_LAYOUT, 0).ends).toHaveLength(0);
  });
});

describe('a layout cursor', () => {
  it('finds the region of any position, in any order', () => {
    fc.assert(
      fc.property(files, fc.array(fc.nat(4_500_000), { minLength: 1, maxLength: 50 }), (bytes, offsets) => {
        const layout = layoutOf(bytes);
        const cursor = new LayoutCursor(layout);
        for (const offset of [...offsets, ...layout.regions.map((region) => region.start)]) {
          const region = cursor.regionAt(offset);
          expect(region).toBe(layout.regions.find(({ start, end }) => start <= offset && offset < end));
          expect(layout.regions[cursor.indexAt(offset)]).toBe(region);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('ends blocks at multiples of 1 MiB from the region start, and the last one with it', () => {
    const region = { start: 1000, end: 1000 + 2 * TENSOR_BLOCK + 7, rule: 'blocks' } as const;
    expect(blockEnd(region, 1000)).toBe(1000 + TENSOR_BLOCK);
    expect(blockEnd(region, 1000 + TENSOR_BLOCK - 1)).toBe(1000 + TENSOR_BLOCK);
    expect(blockEnd(region, 1000 + TENSOR_BLOCK)).toBe(1000 + 2 * TENSOR_BLOCK);
    expect(blockEnd(region, 1000 + 2 * TENSOR_BLOCK + 6)).toBe(region.end);
  });
});
