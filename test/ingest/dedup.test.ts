import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { contentId } from '../../packages/core/dist/content/content.js';
import { IngestTally } from '../../packages/core/dist/ingest/ingest.js';
import { copiesOfChunks, leftovers, openEngine, oracle, randomBytes, readBack, safetensors, sourcesOf, storeAll } from './support.js';

const MIB = 1 << 20;

describe('equal new chunks are stored once', () => {
  it('by units that run at the same time, whether their files are small or large', async () => {
    const engine = await openEngine();
    const shared = [
      randomBytes(24 * MIB, 1),
      safetensors([20 * MIB, 5 * MIB], 2),
      ...Array.from({ length: 300 }, (_, i) => randomBytes(9000 + i, i)),
    ];
    const sources = sourcesOf(Object.fromEntries([...shared, ...shared].map((bytes, i) => [`f${i}`, bytes])));
    const half = sources.length / 2;
    const tallies = [new IngestTally(), new IngestTally()];
    // Two calls side by side, one of them in reverse order.
    const [a, b] = await Promise.all([
      storeAll(engine, sources.slice(0, half), tallies[0]),
      storeAll(engine, sources.slice(half).reverse(), tallies[1]),
    ]);
    for (const [i, bytes] of shared.entries()) {
      const expected = contentId(oracle(bytes));
      expect(contentId(a.get(sources[i]!.path)!)).toBe(expected);
      expect(contentId(b.get(sources[half + i]!.path)!)).toBe(expected);
    }
    const copies = copiesOfChunks(engine);
    expect([...copies.values()].filter((count) => count > 1)).toEqual([]);
    const total = shared.reduce((sum, bytes) => sum + bytes.byteLength, 0);
    expect(tallies[0]!.newBytes + tallies[1]!.newBytes).toBe(total);
    expect(tallies.map((tally) => tally.logicalBytes)).toEqual([total, total]);
  });

  it('by a second run, which writes nothing', async () => {
    const engine = await openEngine();
    const sources = sourcesOf({ a: randomBytes(3 * MIB, 1), b: safetensors([2 * MIB], 2), c: new Uint8Array(0) });
    const first = new IngestTally();
    await storeAll(engine, sources, first);
    const again = new IngestTally();
    await storeAll(engine, sources, again);
    expect(again).toMatchObject({ newBytes: 0, storedBytes: 0, files: 3, logicalBytes: first.logicalBytes });
  });

  it('within one file', async () => {
    const engine = await openEngine();
    const block = randomBytes(MIB, 1);
    const tally = new IngestTally();
    const sources = sourcesOf({ a: safetensors([MIB], 1), zeros: new Uint8Array(40 * MIB), twice: Buffer.concat([block, block, block]) });
    await storeAll(engine, sources, tally);
    expect([...copiesOfChunks(engine).values()].filter((count) => count > 1)).toEqual([]);
    expect(tally.newBytes).toBeLessThan(6 * MIB);
  });
});

describe('a chunk that was left to another unit', () => {
  it('is stored all the same when that unit is called off: what a call yields can always be read', async () => {
    const bytes = safetensors([20 * MIB, 12 * MIB], 3);
    for (const delayMs of [5, 40]) {
      const engine = await openEngine();
      const sources = sourcesOf({ one: bytes, two: bytes });
      const controller = new AbortController();
      const doomed = (async () => {
        const options = { sink: engine.staging, signal: controller.signal };
        for await (const _stored of engine.ingest.files([sources[0]!], options));
      })();
      const aborted = doomed.then(
        () => 'stored',
        (error: Error) => error.message,
      );
      const kept = storeAll(engine, [sources[1]!]);
      await sleep(delayMs);
      controller.abort(new Error('changed my mind'));
      expect(['stored', 'changed my mind']).toContain(await aborted);
      const content = (await kept).get(sources[1]!.path)!;
      expect(Buffer.compare(await readBack(engine, content), bytes)).toBe(0);
      expect(leftovers(engine)).toEqual([]);
      await engine.close();
    }
  });
});
