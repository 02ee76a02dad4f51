import { describe, expect, onTestFinished, test } from 'vitest';
import { failureOf } from '../support/failures.js';
import { randomFrom } from '../support/random.js';
import { StateChecker } from './check-state.js';
import { crashStates } from './crash-states.js';
import { record } from './record.js';
import { ofFile, ofFolder, type RecordedTrace, type SyncFilter, withoutSyncs } from './trace.js';

/** Few changes are enough: every sync is needed for each of them. */
const PROGRAM = ['commit', 'repair', 'tag'];

let recorded: RecordedTrace | undefined;

/** The run that every control looks at, each on a worse disk. */
async function goodRun(): Promise<RecordedTrace> {
  return (recorded ??= (await record([PROGRAM]))[0]!);
}

/** What the suite says of the run on a disk that leaves out some syncs, before which nothing differs; undefined: nothing is wrong. */
async function verdictOn(run: RecordedTrace & { from: number }): Promise<string | undefined> {
  const checker = new StateChecker({ repair: 20, readAll: 20, threads: 200 });
  onTestFinished(() => checker.clear());
  const failure = await failureOf(
    (async () => {
      for (const state of crashStates(run, { perMoment: 16, tears: 0, random: randomFrom(1) }, run.from)) await checker.check(state);
    })(),
  );
  return failure === undefined ? undefined : (failure as Error).message;
}

describe('the suite of crash states fails when a disk leaves out', () => {
  test.each<[string, SyncFilter, RegExp]>([
    ['the sync of packs', ofFile(/^store\/packs\//), /pack \w+ is damaged|verify found .*"pack"/],
    ['the sync of journal files', ofFile(/^store\/refs\//), /refs\/\d+ is damaged/],
    ['the sync of the file that makes a folder a store', ofFile(/^store\/format/), /holds no Cairn store/],
    ['the sync of folders of packs', ofFolder(/^store\/packs\/..$/), /pack \w+ is damaged: the file is missing/],
    ['the sync of the folder of those folders', ofFolder(/^store\/packs$/), /ENOENT.*packs/],
    ['the sync of the ref journal', ofFolder(/^store\/refs$/), /verify found .*"refs/],
    ["the sync of the index's folder", ofFolder(/^store\/index$/), /a reader saw {}|the index ends at change 0/],
    ["the sync of the store's folder", ofFolder(/^store$/), /ENOENT|holds no Cairn store/],
  ])(
    '%s',
    async (_name, leftOut, complaint) => {
      expect(await verdictOn(withoutSyncs(await goodRun(), leftOut))).toMatch(complaint);
    },
    120_000,
  );
});
