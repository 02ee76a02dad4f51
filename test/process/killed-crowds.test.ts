import { cpSync, readdirSync, rmSync, statSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { codeOf } from '../support/failures.js';
import { Performance, Stage, type Order } from '../support/histories/stage.js';
import { randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { tell } from '../support/tell.js';

/** A long run sets more. */
const KILLS = Number(process.env['CAIRN_TEST_CROWD_KILLS'] ?? 12);
/** After so many rounds with the same store a new one is made. */
const ROUNDS = 6;
/** Disk calls within which a process is killed by its disk: some ten commits. */
const MAX_CALLS = 120;
/** Moves that a process has told of before it is killed from outside. */
const MAX_SAID = 40;

describe('processes that work on one volume and are killed', () => {
  test('two to four at once, from outside or at a disk call: nothing acknowledged or seen is lost, nothing is left over', async () => {
    const random = randomFrom(testSeed('killed crowds'));
    const counts = { kills: 0, atCalls: 0, moves: 0, commits: 0, inDoubt: 0, unchecked: 0 };
    while (counts.kills < KILLS) {
      const stage = await Stage.make(tempDir());
      for (let round = 0; round < ROUNDS && counts.kills < KILLS; round++) {
        const performances = Array.from({ length: 2 + random(3) }, () => {
          const disk = random(2) === 0 ? undefined : { failAt: 1 + random(MAX_CALLS), error: random(3) === 0 ? 'tear' : 'kill' };
          const order: Order = { seed: random(2 ** 31), moves: 10_000, ...(disk === undefined ? {} : { disk }) };
          return { order, performance: stage.begin(Performance.actor(), order), said: 1 + random(MAX_SAID), spins: random(2_000_000) };
        });
        const died = performances.map(async ({ order, performance, said, spins }) => {
          if (order.disk === undefined) {
            await performance.hasSaid(said);
            for (let i = 0; i < spins;) i++; // somewhere within what comes next
            await performance.child.kill();
          }
          const { signal, stderr } = await performance.child.ended;
          expect({ signal, stderr }).toEqual({ signal: 'SIGKILL', stderr: '' });
          counts.kills++;
          if (order.disk !== undefined) counts.atCalls++;
        });
        await Promise.all(died);
        for (const { performance } of performances) stage.note(performance);
        const context = performances.map(({ order, said }) => JSON.stringify({ ...order, said })).join(' ');
        expect(await stage.settle({ readData: round === ROUNDS - 1 }), context).toEqual([]);
      }
      for (const name of ['moves', 'commits', 'inDoubt'] as const) counts[name] += stage.counts[name];
      counts.unchecked += stage.judge.unchecked;
    }
    tell('killed crowds', counts);
    // A version is beyond checking only when it, and the prune that removed its predecessor, were cut short.
    expect(counts.unchecked).toBeLessThan(counts.kills);
  }, 3_600_000);

  // Positive controls: what a store that loses something would leave.
  describe('the loss would be noticed, had they left', () => {
    /** A stage on which two have worked and been killed, and been judged; `more` lets them work on. */
    async function played(more: (stage: Stage) => Promise<void>): Promise<string[]> {
      const stage = await Stage.make(tempDir());
      const work = async (): Promise<void> => {
        const performance = stage.begin(Performance.actor(), { seed: 1, moves: 10_000 });
        await performance.hasSaid(30);
        await performance.child.kill();
        stage.note(performance);
      };
      await work();
      expect(await stage.settle()).toEqual([]);
      cpSync(stage.dir, `${stage.dir}-before`, { recursive: true });
      await work();
      await more(stage);
      return stage.settle({ readData: true }).then(
        (violations) => violations.map(({ kind }) => kind),
        (error: unknown) => [codeOf(error)!],
      );
    }

    test('the store as it was before', async () => {
      const kinds = await played(async ({ dir }) => {
        rmSync(dir, { recursive: true });
        await rename(`${dir}-before`, dir);
      });
      expect(kinds).toContain('lost');
    });

    test('the index as it was before', async () => {
      const kinds = await played(async ({ dir }) => {
        rmSync(join(dir, 'index'), { recursive: true });
        await rename(join(`${dir}-before`, 'index'), join(dir, 'index'));
      });
      expect(kinds).toEqual(['CAIRN_DAMAGED']);
    });

    test('a file in the journal without the pack that it speaks of', async () => {
      const kinds = await played(async ({ dir }) => {
        const packs = readdirSync(join(dir, 'packs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.pack'));
        const ages = packs.map((name) => ({ file: join(dir, 'packs', name), at: statSync(join(dir, 'packs', name)).mtimeMs }));
        rmSync(ages.sort((a, b) => b.at - a.at)[0]!.file);
      });
      expect(kinds).not.toEqual([]);
    });
  });
});
