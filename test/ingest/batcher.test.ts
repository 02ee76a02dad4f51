import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Batcher, type Batch } from '../../packages/core/src/ingest/batcher.js';
import type { LocalSource } from '../../packages/core/src/ingest/source.js';

const MIB = 1 << 20;

/** Feeds sources through a batcher, as a run does, and returns its batches. */
function batchesOf(sizes: number[], workers: number, idle: () => boolean): Batch<LocalSource>[] {
  const batcher = new Batcher<LocalSource>(workers);
  const batches: Batch<LocalSource>[] = [];
  for (const [i, size] of sizes.entries()) {
    batcher.add({ path: String(i), stat: { size } });
    for (let next; (next = batcher.next(idle())) !== undefined;) batches.push(next);
  }
  return [...batches, ...batcher.rest()];
}

function sourcesIn(batch: Batch<LocalSource>): LocalSource[] {
  return 'large' in batch ? [batch.large] : batch.files;
}

describe('grouping sources into units', () => {
  it('every source is in one unit, in order, and no unit is too large', () => {
    const sizes = fc.array(fc.oneof(fc.nat(10_000), fc.nat(40 * MIB), fc.nat(2 ** 36)), { maxLength: 300 });
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 8 }), fc.infiniteStream(fc.boolean()), (wanted, workers, idle) => {
        const batches = batchesOf(wanted, workers, () => idle.next().value === true);
        expect(batches.flatMap(sourcesIn).map((source) => source.path)).toEqual(wanted.map((_, i) => String(i)));
        for (const batch of batches) {
          if ('large' in batch) expect(batch.segmentBytes).toBeLessThanOrEqual(256 * MIB);
          else {
            expect(batch.files.length).toBeLessThanOrEqual(4000);
            expect(batch.files.reduce((sum, source) => sum + source.stat.size, 0)).toBeLessThanOrEqual(256 * MIB);
          }
        }
      }),
    );
  });

  it('a large file, and many small ones, are spread over all workers', () => {
    expect(batchesOf([1024 * MIB], 2, () => true)).toMatchObject([{ segmentBytes: 256 * MIB }]);
    expect(batchesOf([200 * MIB], 2, () => true)).toMatchObject([{ segmentBytes: 50 * MIB }]);
    const small = batchesOf(new Array<number>(100_000).fill(4096), 2, () => false);
    expect(small.length).toBeGreaterThan(24);
    expect(Math.max(...small.slice(-2).map((batch) => sourcesIn(batch).length))).toBeLessThanOrEqual(1000);
  });

  it('an idle worker gets work before all sources are known, and what waits is bounded', () => {
    expect(batchesOf(new Array<number>(501).fill(100), 2, () => true)).toHaveLength(2);
    const batcher = new Batcher<LocalSource>(2);
    let waiting = 0;
    let most = 0;
    for (let i = 0; i < 100_000; i++, waiting++) {
      batcher.add({ path: '', stat: { size: 0 } });
      for (let next; (next = batcher.next(false)) !== undefined;) waiting -= sourcesIn(next).length;
      most = Math.max(most, waiting);
    }
    expect(most).toBeLessThan(20_000);
  });
});
