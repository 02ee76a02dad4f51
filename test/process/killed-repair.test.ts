import { repairStore } from '@cairn/core';
import { cpSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Child } from '../support/children.js';
import { OPERATIONS, prepare, stateOf } from '../support/operations.mjs';
import { randomFrom, testSeed } from '../support/random.js';
import { tell } from '../support/tell.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';

/** One call in so many is the one at which the repair dies. A long run takes all. */
const STRIDE = process.env['CAIRN_TEST_FAULTS'] === 'all' ? 1 : 9;

function damageLargestPack(dir: string): void {
  const packs = readdirSync(join(dir, 'packs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.pack'));
  const sizes = packs.map((name) => ({ file: join(dir, 'packs', name), size: statSync(join(dir, 'packs', name)).size }));
  const { file, size } = sizes.sort((a, b) => b.size - a.size)[0]!;
  const bytes = readFileSync(file);
  for (const at of [0.2, 0.5, 0.8]) bytes[Math.floor(at * size)]! ^= 1;
  writeFileSync(file, bytes);
}

test('a repair that is killed at any disk call leaves a store that the next repair brings back as it was', async () => {
  const dir = join(tempDir(), 'store');
  const lost = join(tempDir(), 'lost');
  const state = await withStore(dir, async (store) => {
    const files = join(tempDir(), 'sources');
    await prepare(store, files);
    for (const name of Object.keys(OPERATIONS)) {
      await OPERATIONS[name]!.before?.(store, 1);
      await OPERATIONS[name]!.run(store, 1, files);
    }
    return stateOf(store);
  });
  const copy = join(tempDir(), 'copy');
  cpSync(dir, copy, { recursive: true });
  const sources = [copy];
  rmSync(join(dir, 'index'), { recursive: true });
  damageLargestPack(dir);
  cpSync(dir, lost, { recursive: true });
  let kills = 0;
  for (let failAt = 1 + randomFrom(testSeed('killed repairs'))(STRIDE); ; failAt += STRIDE) {
    rmSync(dir, { recursive: true });
    cpSync(lost, dir, { recursive: true });
    const child = Child.start('repairer.mjs', { dir, sources, faults: { failAt, error: failAt % 3 === 0 ? 'tear' : 'kill' } });
    const { signal, stderr } = await child.ended;
    expect(stderr).toBe('');
    expect(await repairStore(dir, { sources }), `call ${failAt}`).toMatchObject({ ok: true, damage: [] });
    await withStore(dir, async (store) => {
      expect(await stateOf(store), `call ${failAt}`).toEqual(state);
      await OPERATIONS['commit']!.run(store, 100, '');
    });
    expect(readdirSync(dir).filter((name) => name.startsWith('index'))).toEqual(['index']);
    if (signal === null) break;
    kills++;
  }
  tell('killed repairs', { kills });
  expect(kills).toBeGreaterThan(1);
}, 600_000);
