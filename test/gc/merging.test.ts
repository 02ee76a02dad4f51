import { cpSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { openStore, type Store } from '@cairn/core';
import { describe, expect, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { Child } from '../support/children.js';
import { KINDS } from '../support/faulty-disk.mjs';
import { noise, randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';

/** More than so many small packs are brought together. */
const LIMIT = 64;
/** Which disk calls a process is killed at: in a long run each but deletions, of which there is one for each pack. */
const STRIDE = process.env['CAIRN_SOAK_MINUTES'] === undefined ? 9 : 1;

function packsOf(dir: string): string[] {
  return readdirSync(join(dir, 'packs'), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.pack'));
}

async function commit(store: Store, i: number): Promise<void> {
  const volume = await store.volumes.fromName('v', { createIfMissing: true });
  await volume.writeFile(`dir/${i % 10}`, noise(3_000, i));
  await volume.commit({ message: String(i) });
  await volume.close();
}

async function versionsOf(store: Store): Promise<number> {
  const volume = await store.volumes.fromName('v');
  let versions = 0;
  for await (const _version of volume.history()) versions++;
  await volume.close();
  return versions;
}

/** Every version of `count` has its bytes, and nothing is damaged. */
async function expectAll(store: Store, count: number): Promise<void> {
  const volume = await store.volumes.fromName('v');
  let generation = count;
  for await (const { id, message } of volume.history()) {
    expect(message).toBe(String(--generation));
    const snapshot = await volume.snapshot(id);
    expect(Buffer.compare(await snapshot.readFile(`dir/${generation % 10}`), noise(3_000, generation))).toBe(0);
    await snapshot.close();
  }
  expect(generation).toBe(0);
  await volume.close();
  expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
}

/** A store with so many commits, each with a pack of its own. */
async function makeStore(commits: number): Promise<string> {
  const dir = join(tempDir(), 'store');
  await using store = await openStoreOn({ durable: false }, dir, { workers: 1, mergeSmallPacks: false });
  for (let i = 0; i < commits; i++) await commit(store, i);
  return dir;
}

describe('small packs', () => {
  test('are brought together behind the commits that made them, beside readers of all versions', async () => {
    const dir = join(tempDir(), 'store');
    const warnings: string[] = [];
    const logger = { debug: () => undefined, info: () => undefined, warn: (text: string) => warnings.push(text), error: () => undefined };
    await using store = await openStoreOn({ durable: false }, dir, { workers: 1, logger });
    await commit(store, 0);
    const volume = await store.volumes.fromName('v');
    const first = await volume.snapshot('HEAD');
    const commits = 2 * LIMIT + 8;
    for (let i = 1; i < commits; i++) {
      await commit(store, i);
      if (i % 16 === 0) expect(Buffer.compare(await first.readFile('dir/0'), noise(3_000, 0))).toBe(0);
    }
    await first.close();
    await volume.close();
    await store.close();
    await using again = await openStore(dir);
    await expectAll(again, commits);
    expect(warnings).toEqual([]);
    // What waited for a commit under way is still there.
    expect(await again.gc()).toMatchObject({ waiting: 0 });
    expect(packsOf(dir).length).toBeLessThan(1.5 * LIMIT);
    const { stored, unreachable } = await again.usage();
    expect(unreachable).toBeLessThan(0.05 * stored);
  }, 120_000);

  test('stay where nobody wants that, and are brought together by whoever commits next', async () => {
    const dir = await makeStore(LIMIT + 6);
    expect(packsOf(dir)).toHaveLength(LIMIT + 6);
    {
      await using store = await openStore(dir);
      await commit(store, LIMIT + 6);
    }
    expect(packsOf(dir).length).toBeLessThan(8);
    await using store = await openStore(dir);
    await expectAll(store, LIMIT + 7);
  }, 120_000);

  test('a process that is killed while it brings them together loses nothing, and the next one ends what it began', async () => {
    const template = await makeStore(LIMIT);
    const file = join(tempDir(), 'file');
    writeFileSync(file, noise(3_000, LIMIT));
    let kills = 0;
    for (let failAt = 1 + randomFrom(testSeed('killed merges'))(STRIDE); ; failAt += STRIDE) {
      const dir = join(tempDir(), 'store');
      cpSync(template, dir, { recursive: true });
      const faults = { failAt, error: failAt % 2 === 0 ? 'tear' : 'kill', kinds: KINDS.filter((kind) => kind !== 'unlink') };
      const child = Child.start('merger.mjs', { dir, path: `dir/${LIMIT % 10}`, message: String(LIMIT), file, faults });
      const { signal, stderr } = await child.ended;
      expect(stderr).toBe('');
      const done = child.said.some(({ say }) => say === 'committed');
      await using store = await openStoreOn({ durable: false }, dir, { workers: 1, mergeSmallPacks: false });
      const versions = await versionsOf(store);
      expect(versions).toBeGreaterThanOrEqual(done ? LIMIT + 1 : LIMIT);
      await store.optimize();
      // What was in the journal counts from the next change on.
      await expectAll(store, await versionsOf(store));
      expect(packsOf(dir).length).toBeLessThan(5);
      if (signal === null) break;
      kills++;
    }
    console.log(`${kills} kills`);
    expect(kills).toBeGreaterThan(1);
  }, 300_000);
});
