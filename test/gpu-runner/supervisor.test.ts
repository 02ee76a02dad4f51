import fc from 'fast-check';
import { spawn } from 'node:child_process';
import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { Supervisor, type SupervisorOptions } from '../../packages/gpu-runner/src/runner/supervisor.js';
import { eventually } from '../support/eventually.js';

const STDIO = ['ignore', 'pipe', 'pipe'] as const;

/**
 * Real processes that fail at once, on a clock that only they move: each "runs" as long as it is told to. Ends with the last of them, and
 * tells how long the supervisor would have waited before each of the others.
 */
async function pausesBetween(runsMs: readonly number[], options: Pick<SupervisorOptions, 'backoffMs' | 'steadyMs'>): Promise<number[]> {
  const pauses: number[] = [];
  let [now, run] = [1_000_000, 0];
  const supervisor = new Supervisor({
    ...options,
    name: 'failing',
    stdout: new PassThrough().resume(),
    stderr: new PassThrough().resume(),
    start: async () => {
      now += runsMs[run++]!;
      return spawn('sh', ['-c', `exit ${run === runsMs.length ? 0 : 3}`], { stdio: [...STDIO] });
    },
    clock: {
      nowMs: () => now,
      async sleep(ms) {
        pauses.push(ms);
        now += ms;
      },
    },
  });
  expect(await supervisor.done).toMatchObject({ code: 0 });
  expect(supervisor.restarts).toBe(runsMs.length - 1);
  return pauses;
}

it('a process that fails is started again after pauses that double up to the longest, and begin anew once it ran well', async () => {
  expect(await pausesBetween([0, 0, 0, 0, 0, 0, 0], { backoffMs: { first: 10, longest: 100 } })).toEqual([10, 20, 40, 80, 100, 100]);
  // Nothing said: as the documentation has it.
  expect(await pausesBetween([0, 0, 9999, 10_000, 0, 0], {})).toEqual([200, 400, 800, 200, 400]);
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 200 }), { minLength: 1, maxLength: 8 }),
      fc.record({ first: fc.integer({ min: 1, max: 50 }), longest: fc.integer({ min: 1, max: 300 }) }),
      fc.integer({ min: 1, max: 200 }),
      async (runs, backoffMs, steadyMs) => {
        const pauses = await pausesBetween(runs, { backoffMs, steadyMs });
        for (const [i, pause] of pauses.entries()) {
          const isAnew = i === 0 || runs[i]! >= steadyMs;
          expect(pause).toBe(Math.min(backoffMs.longest, isAnew ? backoffMs.first : 2 * pauses[i - 1]!));
        }
      },
    ),
    { numRuns: 15 },
  );
});

it('a supervisor that waits stops at once when it is asked to, and starts nothing more', async () => {
  let starts = 0;
  const supervisor = new Supervisor({
    name: 'failing',
    start: async () => {
      starts++;
      return spawn('sh', ['-c', 'exit 3'], { stdio: [...STDIO] });
    },
    backoffMs: { first: 1e9, longest: 1e9 },
  });
  await eventually(() => supervisor.state === 'waiting');
  await supervisor.stop();
  expect([starts, supervisor.state, supervisor.restarts]).toEqual([1, 'stopped', 0]);
});
