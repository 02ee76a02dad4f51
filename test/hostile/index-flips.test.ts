import { copyFileSync, cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStore, repairStore, type Store } from '@cairn/core';
import { describe, expect, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { Child } from '../support/children.js';
import { everything } from '../support/everything.mjs';
import { noise, randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';

const FLIPS = Number(process.env['CAIRN_SOAK_INDEX_FLIPS'] ?? 80);
/** How many of them are repaired. */
const REPAIRED_FLIPS = Math.max(6, Math.floor(FLIPS / 20));
/** A child that hangs is ended: it counts as one that died. */
const PATIENCE_MS = 120_000;
const PAGE_BYTES = 4096;

const open = (dir: string): Promise<Store> => openStoreOn({ durable: false }, dir, { workers: 1 });

/** One change of a store, by chance: commits, tags, renames, forks, deletions. */
async function change(store: Store, below: (limit: number) => number): Promise<void> {
  const name = `v${below(3)}`;
  const volume = await store.volumes.fromName(name, { createIfMissing: true });
  switch (below(8)) {
    case 0:
      await volume.tag(`t${below(3)}`, 'HEAD', { force: true }).catch(() => undefined);
      return;
    case 1:
      await store.volumes.rename(name, `w${below(100)}`).catch(() => undefined);
      return;
    case 2:
      await store.volumes.fork(name, `f${below(100)}`).catch(() => undefined);
      return;
    case 3:
      return store.volumes.delete(name);
    default:
      await volume.writeFile(`d/${below(5)}`, noise(below(20_000), below(1000)));
      await volume.commit({ message: `m${below(9)}` });
  }
}

/** Makes a store with some history. Returns all that is in it. */
async function filled(dir: string, below: (limit: number) => number): Promise<string[]> {
  const store = await open(dir);
  for (let i = 0; i < 30; i++) await change(store, below);
  await (await store.volumes.fromName('last', { createIfMissing: true })).commit();
  const expected = await everything(store);
  await store.close();
  return expected;
}

describe('an index', () => {
  test('with any bit flipped gives right answers, a typed error, or ends the process; what it hides verify tells, and no file is read as another', async () => {
    const seed = testSeed('flips of the index');
    const below = randomFrom(seed);
    const root = tempDir();
    const dir = join(root, 'store');
    const expected = await filled(dir, below);
    writeFileSync(join(root, 'expected'), expected.join('\n'));
    const whole = join(root, 'whole.mdb');
    copyFileSync(join(dir, 'index', 'data.mdb'), whole);
    // Where there is something: most of the file is pages that hold nothing.
    const bytes = readFileSync(whole);
    const used: number[] = [];
    for (let page = 0; page * PAGE_BYTES < bytes.length; page++)
      if (bytes.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES).some((byte) => byte !== 0)) used.push(page);
    const positions = Array.from(
      { length: FLIPS },
      () => used[below(used.length)]! * PAGE_BYTES + (below(3) === 0 ? below(64) : below(PAGE_BYTES)),
    );
    const outcomes = { right: 0, failed: 0, hidden: 0, died: 0 };
    const bad: unknown[] = [];
    for (let next = 0; next < positions.length;) {
      const child = Child.start('flipped-index.mjs', { dir, whole, expected: join(root, 'expected'), positions: positions.slice(next) });
      const alarm = setTimeout(() => void child.kill(), PATIENCE_MS);
      const said = await child.ended.then(() => child.said);
      clearTimeout(alarm);
      for (const { say: what, ...more } of said) {
        if (what === 'right') outcomes.right++;
        else if (what === 'failed') outcomes.failed++;
        else if (what === 'differs') outcomes.hidden++;
        // A bit of LMDB's own pages may hide a record: then verify tells, and what is still there is true.
        if (what === 'differs' && (more['isWhole'] === true || (more['untrue'] as string[]).length > 0)) bad.push(more);
        if (what === 'failed' && String(more['code']).startsWith('not typed')) bad.push(more);
      }
      const tried = said.filter(({ say: what }) => what === 'trying').length;
      if (tried === 0) throw new Error(`the child did nothing: ${(await child.ended).stderr}`);
      // What was tried last without an outcome ended the process.
      if (said.at(-1)?.say === 'trying') outcomes.died++;
      next += tried;
    }
    console.log(`${positions.length} flips of an index of ${used.length} pages: ${JSON.stringify(outcomes)}`);
    expect(bad).toEqual([]);
    expect(outcomes.right).toBeGreaterThan(0);
  }, 900_000);

  test('with any bit flipped is made anew, also where it ends whoever reads it, and is believed in nothing that is not so', async () => {
    const below = randomFrom(testSeed('repaired flips of the index'));
    const root = tempDir();
    const dir = join(root, 'store');
    const expected = await filled(dir, below);
    const data = join(dir, 'index', 'data.mdb');
    const whole = join(root, 'whole');
    cpSync(dir, whole, { recursive: true, filter: (file) => !file.endsWith('lock.mdb') });
    const bytes = readFileSync(data);
    let holes = 0;
    for (let i = 0; i < REPAIRED_FLIPS; i++) {
      rmSync(dir, { recursive: true });
      cpSync(whole, dir, { recursive: true });
      const flipped = Buffer.from(bytes);
      const page = below(Math.floor(bytes.length / PAGE_BYTES)) * PAGE_BYTES;
      flipped[page + (below(2) === 0 ? below(64) : below(PAGE_BYTES))]! ^= 1 << below(8);
      // Now and then a commit is missing in the journal, too: then what the index tells counts.
      const refs = readdirSync(join(dir, 'refs')).map((name) => join(dir, 'refs', name));
      const commits = refs.filter((file) => readFileSync(file, 'latin1').includes('"head"'));
      const hole = i % 2 === 0 ? commits[below(commits.length)] : undefined;
      if (hole !== undefined) truncateSync(hole, 20);
      writeFileSync(data, flipped);
      const report = await repairStore(dir);
      if (hole !== undefined) holes++;
      expect(report.journal.missing).toBe(hole === undefined ? 0 : 1);
      const again = await open(dir);
      // A commit is found in packs where the index does not tell of it.
      expect(await everything(again), `page ${page}`).toEqual(expected);
      expect(await again.verify()).toMatchObject({ ok: true });
      await again.close();
    }
    expect(holes).toBeGreaterThan(0);
  }, 900_000);

  test('that is deleted at any moment is made anew with the same heads, tags, histories and files', async () => {
    const below = randomFrom(testSeed('lost indexes'));
    const dir = join(tempDir(), 'store');
    for (let round = 0; round < 5; round++) {
      const store = await open(dir);
      for (let i = below(8); i >= 0; i--) await change(store, below);
      const expected = await everything(store);
      // At any moment: also while the store is open, and goes on being used by whoever has it open.
      const isOpen = below(2) === 0;
      if (!isOpen) await store.close();
      if (below(2) === 0) rmSync(join(dir, 'index'), { recursive: true });
      else cpSync(join(dir, 'format'), join(dir, 'index', 'data.mdb'));
      if (isOpen) await store.close();
      await expect(openStore(dir)).rejects.toMatchObject({ code: 'CAIRN_DAMAGED' });
      expect(await repairStore(dir)).toMatchObject({ damage: [], healed: 0 });
      const again = await open(dir);
      expect(await everything(again)).toEqual(expected);
      expect(await again.verify({ readData: true })).toMatchObject({ ok: true });
      await again.close();
    }
  }, 300_000);
});
