import { describe, expect, onTestFinished, test } from 'vitest';
import { failureOf } from '../support/failures.js';
import { randomFrom } from '../support/random.js';
import { checkMount, recordMount } from './check-mount.js';
import { crashStates } from './crash-states.js';
import { Materializer } from './crashed-store.js';
import { ofFile, ofFolder, type RecordedTrace, type SyncFilter, withoutSyncs } from './trace.js';

let recorded: (RecordedTrace & { from: number }) | undefined;

/** Steps of the recorded run: from which on a control is to be noticed soon. */
const MOUNTED = 2;
const COMMITTED = 3;

/** What the suite says of the run on a disk that leaves out some syncs, from the end of a step on; undefined: nothing is wrong. */
async function verdictOn(leftOut: SyncFilter, step: number): Promise<string | undefined> {
  recorded ??= await recordMount(1);
  const run = withoutSyncs(recorded, leftOut);
  const from = run.entries.findIndex((entry) => entry.op === 'done' && 'step' in entry.change && entry.change.step === step);
  expect(run.from, 'a sync that is never asked for').toBeGreaterThan(0);
  const materializer = new Materializer();
  onTestFinished(() => materializer.clear());
  const seen = new Set<string>();
  const failure = await failureOf(
    (async () => {
      for (const state of crashStates(run, { perMoment: 16, tears: 0, random: randomFrom(1) }, from)) {
        if (seen.has(state.digest)) continue;
        seen.add(state.digest);
        await checkMount(materializer, state);
      }
    })(),
  );
  return failure === undefined ? undefined : (failure as Error).message;
}

describe('the suite of crash states of a mount fails when a disk leaves out', () => {
  test.each<[string, SyncFilter, number, RegExp]>([
    ['the sync of files that users wrote', (sync) => 'source' in sync, COMMITTED, /expected \[ '(a|new\/1)' \] to deeply equal \[\]/],
    [
      'the sync of the folders that they are in',
      ofFolder(/^folder(\/(?!\.cairn-mount).*)?$/),
      MOUNTED,
      /expected \[ '.*' \] to deeply equal \[\]/,
    ],
    [
      'the sync of the state of the mount',
      ofFile(/^store\/mounts\/[^/]+\/state/),
      MOUNTED,
      /state of mount \w+ is damaged|object \{ ok: true \}/,
    ],
    ['the sync of the folder of the state', ofFolder(/^store\/mounts\/[^/]+$/), MOUNTED, /is a mount of the store .*, or was one/],
    [
      "the sync of the file that says that a folder is a mount's",
      ofFile(/^folder\/\.cairn-mount\/id/),
      MOUNTED,
      /the folder holds something else/,
    ],
    ['the sync of the folder of that file', ofFolder(/^folder\/\.cairn-mount$/), MOUNTED, /the folder holds something else/],
  ])(
    '%s',
    async (_name, leftOut, step, complaint) => {
      expect(await verdictOn(leftOut, step)).toMatch(complaint);
    },
    120_000,
  );
});
