import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Performance, Stage } from '../support/histories/stage.js';
import { randomFrom, testSeed } from '../support/random.js';
import { tell } from '../support/tell.js';
import { tempDir } from '../support/temp-dir.js';

/** How long a long run lets them work; else a number of moves. */
const MINUTES = Number(process.env['CAIRN_SOAK_MINUTES'] ?? 0);
const MOVES = 40;
/** As many that write as that read. */
const PAIRS = MINUTES > 0 ? 4 : 2;

const WRITES = { edit: 3, commit: 5, upload: 2, large: 0.3, tag: 0.5, untag: 0.5, reload: 1, prune: 2 };
const READS = { look: 3, hold: 2, relook: 6 };
const COLLECTS = { gc: 1, merge: 0.5 };

test('collected again and again while others write, prune and read: no read fails, nothing is lost, and what nobody needs is gone after', async () => {
  const random = randomFrom(testSeed('collected beside'));
  const stage = await Stage.make(tempDir());
  const work = MINUTES > 0 ? { moves: 1e9, seconds: MINUTES * 60 } : { moves: MOVES };
  const roles = [...Array.from({ length: PAIRS }, () => [WRITES, READS]).flat(), COLLECTS];
  const performances = roles.map((weights) =>
    stage.begin(Performance.actor(), { seed: random(2 ** 31), weights, ...work, ...(weights === COLLECTS ? { pauseMs: 200 } : {}) }),
  );
  const freed: number[] = [];
  for (const performance of performances) {
    await performance.played();
    stage.note(performance);
    for (const said of performance.said) if (typeof said['freed'] === 'number') freed.push(said['freed']);
  }
  // Their handles hold what they saw last.
  for (const { child } of performances) child.stop();
  for (const { child } of performances) await child.succeeds();
  expect(await stage.settle({ readData: true })).toEqual([]);

  const { stored, unreachable } = await stage.withStore(async (store) => {
    // What was used until a moment ago is condemned by the first and deleted by the next.
    for (let i = 0; i < 3; i++) freed.push((await store.gc()).freed);
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
    return store.usage();
  });
  expect(unreachable).toBeLessThanOrEqual(0.05 * stored);
  // Nor is there anything on the disk that the index does not count.
  expect(bytesOfPacks(stage.dir)).toBeLessThanOrEqual(1.02 * stored + 100_000);
  expect(freed.some((bytes) => bytes > 0)).toBe(true);
  const total = freed.reduce((sum, bytes) => sum + bytes, 0);
  tell('collected beside', {
    ...stage.counts,
    collections: freed.length,
    freedBytes: total,
    storedBytes: stored,
    unreachableBytes: unreachable,
  });
}, 7_200_000);

function bytesOfPacks(dir: string): number {
  const names = readdirSync(join(dir, 'packs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.pack'));
  return names.reduce((sum, name) => sum + statSync(join(dir, 'packs', name)).size, 0);
}
