import { expect, test } from 'vitest';
import { Child } from '../support/children.js';
import { MountStage, untilWritten } from '../support/histories/mount-stage.js';
import { randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { tell } from '../support/tell.js';

/** A long run sets more. */
const KILLS = Number(process.env['CAIRN_TEST_MOUNT_KILLS'] ?? 5);
/** After so many kills a new store is made. */
const KILLS_A_STORE = 10;
const MAX_CALLS = 200;

test('the owner of a folder in use is killed: versions are whole and stay, the folder is as the program left it, and is mounted again', async () => {
  const random = randomFrom(testSeed('killed mounts'));
  const total = { kills: 0, writes: 0, commits: 0, reloads: 0 };
  while (total.kills < KILLS) {
    const dir = tempDir();
    const stage = await MountStage.make({ store: dir, folder: dir }, { durable: false });
    const inspector = Child.start('histories/mount-inspector.mjs', {});
    for (let kill = 0; kill < KILLS_A_STORE && total.kills < KILLS; kill++, total.kills++) {
      const seed = random(2 ** 31);
      const faults = random(2) === 0 ? undefined : { failAt: 1 + random(MAX_CALLS), error: random(3) === 0 ? 'tear' : 'kill' };
      const owner = stage.begin({ seed, ...(faults === undefined ? {} : { faults }) });
      if (faults === undefined) {
        await untilWritten(owner, 1 + random(40), random);
        await owner.kill();
      }
      const { signal, stderr } = await owner.ended;
      expect({ signal, stderr }).toEqual({ signal: 'SIGKILL', stderr: '' });
      const wrong = await stage.settle(owner.said, inspector, { rebooted: false });
      expect(wrong, `kill ${kill}, ${JSON.stringify({ seed, faults })}`).toEqual([]);
    }
    inspector.stop();
    await inspector.succeeds();
    for (const name of ['writes', 'commits', 'reloads'] as const) total[name] += stage.counts[name];
  }
  tell('killed mounts', total);
}, 3_600_000);
