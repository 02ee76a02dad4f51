import { describe, expect, onTestFinished, test } from 'vitest';
import type { State } from '../support/operations.mjs';
import { randomFrom, testSeed } from '../support/random.js';
import { checkMount, recordMount } from './check-mount.js';
import { crashStates } from './crash-states.js';
import { Materializer } from './crashed-store.js';

const IS_LONG = Number(process.env['CAIRN_SOAK_STATES'] ?? 0) > 2000;
/** Each state is mounted, committed and reloaded, which takes a while: one of so many, by chance, is. */
const ONE_OF = IS_LONG ? 1 : 6;

describe('a power cut while a folder is mounted, committed and reloaded', () => {
  test('loses no edit, and makes none up: the next commit has what users wrote, and nothing torn or old; what was acknowledged is there', async () => {
    const random = randomFrom(testSeed('mount states'));
    const trace = await recordMount(IS_LONG ? 4 : 1);
    const materializer = new Materializer();
    onTestFinished(() => materializer.clear());
    const found = new Map<string, State>();
    for (const state of crashStates(trace, { perMoment: IS_LONG ? 32 : 3, tears: 0, random }, trace.from)) {
      if (random(ONE_OF) > 0) continue;
      const holds = found.get(state.digest) ?? (await checkMount(materializer, state));
      found.set(state.digest, holds);
      expect(state.allowed, `a crash ${state.context}`).toContainEqual(holds);
    }
    console.log(`${found.size} distinct crash states of a mount`);
    expect(found.size).toBeGreaterThan(50);
  }, 3_600_000);
});
