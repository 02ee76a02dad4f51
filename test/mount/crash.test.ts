import { cpSync, existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Mount, Store } from '@cairn/core';
import { describe, expect, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { writeAll } from '../contract/support.js';
import { Child } from '../support/children.js';
import { randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';
import { edit, folder, headOf, temporaries } from './support.js';

/** Every disk call takes its turn in a long run; else one in so many. */
const STRIDE = process.env['CAIRN_TEST_FAULTS'] === 'all' ? 1 : 13;

const BASE = { a: 'a', b: 'b', 'd/c': 'c', 'd/e': 'e', 'gone/x': 'x' };
const THEIRS = { b: 'theirs', 'd/c': null, 'd/n': 'new', gone: null, 'f/g': 'g' } as const;
const OURS = { a: 'ours', 'd/e': null, 'o/p': 'p' } as const;

/** Kills lose nothing that was only not synced. */
function inStore<T>(dir: string, use: (store: Store) => Promise<T>): Promise<T> {
  return withStore(dir, use, (at) => openStoreOn({ durable: false }, at, { workers: 1 }));
}

/** A store, and a folder that is a mount of it, as they are before what is to be killed; every kill gets a copy. */
async function prepare(dir: string, more: (store: Store, mount: Mount) => Promise<void>): Promise<void> {
  await inStore(join(dir, 'store'), async (store) => {
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    await writeAll(volume, BASE);
    await volume.commit();
    const mount = await volume.mount(join(dir, 'f'));
    await more(store, mount);
    await mount.close();
  });
}

async function commitTheirs(store: Store): Promise<void> {
  const other = await store.volumes.fromName('v');
  for (const [path, text] of Object.entries(THEIRS)) {
    if (text === null) await other.remove(path, { recursive: true });
    else await other.writeFile(path, text);
  }
  await other.commit();
}

interface World {
  dir: string;
  store: Store;
  /** What the dead process said it had done. */
  said: string[];
}

/**
 * Kills a process at its n-th disk call, for n = 1 and so on until it comes through, and looks at what it leaves. The folder is
 * the same one for all, so that it stays the same mount; what is in it is brought back each time.
 */
async function killAtEachCall(dir: string, input: object, check: (world: World, context: string) => Promise<void>): Promise<number> {
  cpSync(join(dir, 'store'), join(dir, 'store-before'), { recursive: true });
  if (existsSync(join(dir, 'f'))) cpSync(join(dir, 'f'), join(dir, 'f-before'), { recursive: true, preserveTimestamps: true });
  const first = 1 + randomFrom(testSeed('crash'))(STRIDE);
  for (let n = first, kills = 0; ; n += STRIDE) {
    rmSync(join(dir, 'store'), { recursive: true });
    cpSync(join(dir, 'store-before'), join(dir, 'store'), { recursive: true });
    empty(join(dir, 'f'));
    if (existsSync(join(dir, 'f-before'))) cpSync(join(dir, 'f-before'), join(dir, 'f'), { recursive: true, preserveTimestamps: true });
    const faults = { failAt: n, error: n % 3 === 0 ? 'tear' : 'kill' };
    const child = Child.start('mounter.mjs', { store: join(dir, 'store'), volume: 'v', folder: join(dir, 'f'), faults, ...input });
    const { signal, stderr } = await child.ended;
    expect(stderr, `call ${n}`).toBe('');
    const said = child.said.map(({ say }) => say);
    await inStore(join(dir, 'store'), (store) => check({ dir, store, said }, `killed at call ${n}, after ${said.join(', ')}`));
    if (signal === null) return kills;
    kills++;
  }
}

function empty(dir: string): void {
  for (const name of existsSync(dir) ? ['.cairn-mount', ...Object.keys(folder(dir))] : [])
    rmSync(join(dir, name.split('/')[0]!), { recursive: true, force: true });
}

describe('a process killed at any disk call of a mount', () => {
  test('while materialising: the next mount of the folder completes it', async () => {
    const dir = tempDir();
    await inStore(join(dir, 'store'), async (store) => {
      const volume = await store.volumes.fromName('v', { createIfMissing: true });
      await writeAll(volume, BASE);
      await volume.commit();
    });
    const kills = await killAtEachCall(dir, {}, async ({ store }, context) => {
      const mount = await (await store.volumes.fromName('v')).mount(join(dir, 'f'));
      expect(folder(mount.dir), context).toEqual(BASE);
      expect(await mount.status(), context).toMatchObject({ added: [], modified: [], removed: [] });
      expect(temporaries(mount.dir), context).toEqual([]);
      await mount.close();
    });
    console.log(`${kills} kills`);
    expect(kills).toBeGreaterThan(STRIDE === 1 ? 20 : 3);
  }, 300_000);

  test('while committing: the folder stays, and what was published is not offered again over what others put on top of it', async () => {
    const dir = tempDir();
    await prepare(dir, async (store) => {
      await commitTheirs(store);
      edit(join(dir, 'f'), OURS);
    });
    const mine = folder(join(dir, 'f'));
    const counts = { published: 0, not: 0 };
    const kills = await killAtEachCall(dir, { actions: [['commit', {}]] }, async ({ store, said }, context) => {
      expect(folder(join(dir, 'f')), context).toEqual(mine);
      // The next writer settles what the dead one left.
      await store.volumes.create('settled');
      const published = (await headOf(await store.volumes.fromName('v')))['a'] === 'ours';
      counts[published ? 'published' : 'not']++;
      if (said.includes('done')) expect(published, context).toBe(true);
      const other = await store.volumes.fromName('v');
      await other.writeFile('a', 'on top of it');
      await other.commit();
      const mount = await other.mount(join(dir, 'f'));
      expect(folder(mount.dir), context).toEqual(mine);
      const { overwritten } = await mount.commit();
      expect(overwritten, context).toEqual(published ? [] : ['a']);
      const expected = { b: 'theirs', 'd/n': 'new', 'f/g': 'g', 'o/p': 'p', a: published ? 'on top of it' : 'ours' };
      expect(await headOf(await store.volumes.fromName('v')), context).toEqual(expected);
      expect(folder(mount.dir), context).toEqual(mine);
      expect(temporaries(mount.dir), context).toEqual([]);
      await mount.close();
      expect(await store.verify(), context).toMatchObject({ ok: true });
    });
    console.log(`${kills} kills; published ${counts.published} times`);
    expect(kills).toBeGreaterThan(STRIDE === 1 ? 20 : 3);
    expect(counts.published).toBeGreaterThan(0);
  }, 300_000);

  test('while reloading: the next mount completes it, local changes on top', async () => {
    const dir = tempDir();
    await prepare(dir, async (store) => {
      await commitTheirs(store);
      edit(join(dir, 'f'), OURS);
    });
    const kills = await killAtEachCall(dir, { actions: [['reload', {}]] }, async ({ store }, context) => {
      const mount = await (await store.volumes.fromName('v')).mount(join(dir, 'f'));
      await mount.reload();
      expect(folder(mount.dir), context).toEqual({ a: 'ours', b: 'theirs', 'd/n': 'new', 'f/g': 'g', 'o/p': 'p' });
      expect(await mount.status(), context).toMatchObject({ added: ['o/p'], modified: ['a'], removed: ['d/e'], behind: 0 });
      expect(temporaries(mount.dir), context).toEqual([]);
      await mount.close();
    });
    console.log(`${kills} kills`);
    expect(kills).toBeGreaterThan(STRIDE === 1 ? 20 : 3);
  }, 300_000);
});
