import { describe, expect, test } from 'vitest';
import { Performance, Stage } from '../support/histories/stage.js';
import { randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { tell } from '../support/tell.js';

/** How many histories, of how many processes; a long run sets more. */
const HISTORIES = Number(process.env['CAIRN_TEST_HISTORIES'] ?? 5);
const LONG = HISTORIES > 20;
const ACTORS = 4;
/** Each of another volume. */
const HISTORIES_A_STORE = 5;

describe('processes that work on one volume at once', () => {
  test('see whole commits only, in one order that agrees with the clock, and lose none', async () => {
    const random = randomFrom(testSeed('histories'));
    const actors = Array.from({ length: ACTORS }, () => Performance.actor());
    const total = { moves: 0, commits: 0, unchecked: 0 };
    let stage: Stage | undefined;
    for (let history = 0; history < HISTORIES; history++) {
      stage = stage === undefined || history % HISTORIES_A_STORE === 0 ? await Stage.make(tempDir()) : await stage.next();
      const moves = 60 + random(LONG ? 141 : 21);
      const performances = actors.map((actor) => stage!.begin(actor, { seed: random(2 ** 31), moves }));
      for (const performance of performances) {
        await performance.played();
        stage.note(performance);
      }
      expect(
        await stage.settle({ living: ACTORS, readData: history % HISTORIES_A_STORE === HISTORIES_A_STORE - 1 }),
        `history ${history}`,
      ).toEqual([]);
      total.moves += stage.counts.moves;
      total.commits += stage.counts.commits;
      total.unchecked += stage.judge.unchecked;
    }
    expect(total.unchecked).toBe(0);
    for (const actor of actors) actor.stop();
    for (const actor of actors) await actor.succeeds();
    tell('histories', { histories: HISTORIES, moves: total.moves, commits: total.commits });
  }, 3_600_000);

  // Positive control: were heads not compared, the test above would say so.
  test('are seen to lose commits where a commit does not look whether the head has moved', async () => {
    const random = randomFrom(testSeed('histories without comparison'));
    const stage = await Stage.make(tempDir());
    const order = { moves: 30, weights: { edit: 3, commit: 6, look: 1 }, without: 'compare' as const };
    const performances = [0, 1].map(() => stage.begin(Performance.actor(), { seed: random(2 ** 31), ...order }));
    for (const performance of performances) {
      await performance.played();
      stage.note(performance);
    }
    for (const { child } of performances) child.stop();
    for (const { child } of performances) await child.succeeds();
    const kinds = (await stage.settle()).map(({ kind }) => kind);
    expect(kinds).toContain('fold');
  }, 120_000);
});
