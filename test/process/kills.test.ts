import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual as isEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { Child, type Saying } from '../support/children.js';
import { after, OPERATIONS, prepare, stateOf, type State } from '../support/operations.mjs';
import { randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';
import { tell } from '../support/tell.js';

/** A long run sets more. */
const KILLS = Number(process.env['CAIRN_TEST_KILLS'] ?? 6);
/** Disk calls within which a process is killed: some ten operations. */
const MAX_CALLS = 100;

interface Change extends Saying {
  name: string;
  i: number;
  part: 'before' | 'run';
}

describe('a process killed at any of its disk calls', () => {
  test('loses nothing that it acknowledged, and leaves the change it was at whole or undone', async () => {
    const random = randomFrom(testSeed('kills'));
    const dir = join(tempDir(), 'store');
    const sources = join(tempDir(), 'sources');
    const names = Object.keys(OPERATIONS);
    let state: State = await withStore(dir, async (store) => (await prepare(store, sources), stateOf(store)));
    const counts = { done: 0, whole: 0, undone: 0 };
    for (let kill = 0; kill < KILLS; kill++) {
      const faults = { error: random(3) === 0 ? 'tear' : 'kill', failAt: 1 + random(MAX_CALLS) };
      const program = Array.from({ length: 100 }, () => names[random(names.length)]!);
      const child = Child.start('changer.mjs', { dir, sources, names: program, first: 1000 * (kill + 1), faults });
      const { signal, stderr } = await child.ended;
      expect({ signal, stderr }).toEqual({ signal: 'SIGKILL', stderr: '' });

      const done = (child.said as Change[]).filter(({ say }) => say === 'done');
      for (const { name, i, part } of done) state = after(state, name, i, part);
      counts.done += done.length;
      const inDoubt = child.said.at(-1) as Change | undefined;
      await withStore(dir, async (store) => {
        // The next writer settles what the dead one left; readers before it see one or the other.
        await store.volumes.create(`seen-${kill}`);
        const found = await stateOf(store);
        delete found[`seen-${kill}`];
        await store.volumes.delete(`seen-${kill}`);
        const context = `${faults.error} at call ${faults.failAt}, in ${JSON.stringify(inDoubt)}`;
        if (inDoubt?.say === 'try' && !isEqual(found, state)) {
          state = after(state, inDoubt.name, inDoubt.i, inDoubt.part);
          counts.whole++;
        } else counts.undone++;
        expect(found, context).toEqual(state);
        expect(await store.verify({ readData: kill % 4 === 3 }), context).toMatchObject({ ok: true, damage: [] });
        expect(readdirSync(join(dir, 'packs', 'incoming'))).toEqual([]);
        expect(readdirSync(join(dir, 'refs')).filter((name) => name.startsWith('.'))).toEqual([]);
      });
    }
    tell('kills at disk calls', { kills: KILLS, ...counts });
  }, 600_000);
});
