import { describe, expect, onTestFinished, test } from 'vitest';
import { OPERATIONS } from '../support/operations.mjs';
import { randomFrom, testSeed } from '../support/random.js';
import { StateChecker } from './check-state.js';
import { crashStates, type Sampling } from './crash-states.js';
import { record } from './record.js';
import { tell } from '../support/tell.js';

/** Distinct states to look at. A long run sets more, and then looks at more of each moment, too. */
const STATES = Number(process.env['CAIRN_SOAK_STATES'] ?? 2000);
const IS_LONG = STATES > 2000;
/** In a long run what takes long is done as often in all, and less often for each state. */
const DEPTH = IS_LONG ? { repair: 50, readAll: 100, threads: 1000 } : { repair: 40, readAll: 20, threads: 200 };
/** Programs that are recorded at a time, by one process. */
const BATCH = IS_LONG ? 4 : 2;
/** What comes between operations. */
const PAUSES = ['reopen', 'repair', 'gc', 'merge', 'optimize'];
/** What it takes for a pack to be deleted: its writer's engine may still refer to it. */
const COLLECTION = ['prune', 'gc', 'reopen', 'gc'];

describe('a power cut at any moment', () => {
  test(
    'leaves a store that has everything that was acknowledged, nothing half visible, and goes on',
    async () => {
      const random = randomFrom(testSeed('crash states'));
      const checker = new StateChecker(DEPTH);
      onTestFinished(() => checker.clear());
      const sampling: Sampling = { perMoment: IS_LONG ? 48 : 5, tears: IS_LONG ? 4 : 1, random };
      let runs = 0;
      let states = 0;
      while (checker.distinct < STATES) {
        for (const trace of await record(Array.from({ length: BATCH }, () => programFrom(random)))) {
          for (const state of crashStates(trace, sampling)) {
            // The first program is looked at from its beginning to its end.
            if (runs > 0 && checker.distinct >= STATES) break;
            await checker.check(state);
            if (++states % 10_000 === 0) console.log(`${checker.distinct} distinct of ${states} crash states`);
          }
          checker.clear();
          runs++;
        }
      }
      tell('crash states', { distinct: checker.distinct, states, runs });
      expect(checker.distinct).toBeGreaterThanOrEqual(STATES);
    },
    IS_LONG ? 24 * 3_600_000 : 600_000,
  );
});

/** Every operation once, and the interruptions, in any order; in a long run half of them, since a store with little in it is looked at sooner; then a collection. */
function programFrom(random: (limit: number) => number): string[] {
  const program = [...Object.keys(OPERATIONS), ...PAUSES];
  for (let i = program.length - 1; i > 0; i--) {
    const other = random(i + 1);
    [program[i], program[other]] = [program[other]!, program[i]!];
  }
  return [...(IS_LONG ? program.slice(0, program.length / 2) : program), ...COLLECTION];
}
