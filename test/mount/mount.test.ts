import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { openMount, openStore } from '@cairn/core';
import { describe, expect, test } from 'vitest';
import { codeOf, failure, noise } from '../contract/support.js';
import { Child } from '../support/children.js';
import { edit, folder, rig, temporaries } from './support.js';

describe('a mount makes a real folder of the base of a handle', () => {
  test('files, folders, symlinks, the executable bit and times', async () => {
    const { v, store, path } = await rig();
    await v.writeFile('a', 'one');
    await v.writeFile('d/e/run.sh', '#!/bin/sh', { executable: true });
    await v.writeFile('big', noise(9 << 20));
    await v.mkdir('empty');
    await v.symlink('../elsewhere', 'd/link');
    await v.commit();
    const mount = await v.mount(path('f'));
    expect({ ...folder(mount.dir), big: '' }).toEqual({
      a: 'one',
      'd/e/run.sh': '#!/bin/sh',
      'd/link': '-> ../elsewhere',
      empty: '/',
      big: '',
    });
    expect(Buffer.compare(readFileSync(path('f', 'big')), noise(9 << 20))).toBe(0);
    expect(statSync(path('f', 'd', 'e', 'run.sh')).mode & 0o111).not.toBe(0);
    expect(statSync(path('f', 'a')).mode & 0o111).toBe(0);
    const { mtimeMs } = await (await store.volumes.fromName('v')).stat('a');
    expect(Math.abs(statSync(path('f', 'a')).mtimeMs - mtimeMs)).toBeLessThan(1);
    expect(temporaries(mount.dir)).toEqual([]);
    expect(await mount.status()).toMatchObject({ behind: 0, added: [], modified: [], removed: [], busy: [], ownerPid: process.pid });
  });

  test('of an empty volume, in a folder that is there already', async () => {
    const { v, path } = await rig();
    mkdirSync(path('f'));
    const mount = await v.mount(path('f'));
    expect(folder(mount.dir)).toEqual({});
    expect(await mount.status()).toMatchObject({ base: null, head: null, behind: 0 });
    writeFileSync(path('f', 'x'), 'x');
    expect(await mount.commit()).toMatchObject({ changed: true, added: 1 });
  });

  test('of an older version with `at`; its commits go on top of the newest one', async () => {
    const { mount, path, commit, head } = await rig({ a: 'old', b: 'b' });
    await commit({ a: 'new' });
    const old = await mount('f', { at: 'HEAD~1' });
    expect(folder(old.dir)).toEqual({ a: 'old', b: 'b' });
    edit(path('f'), { b: 'edited' });
    await old.commit();
    expect(await head()).toEqual({ a: 'new', b: 'edited' });
    expect(folder(old.dir)).toEqual({ a: 'old', b: 'edited' });
  });

  test('not of a handle with uncommitted changes: they would be in no version that the folder is based on', async () => {
    const { v, path } = await rig({ a: 'a' });
    await v.writeFile('b', 'b');
    expect(await codeOf(v.mount(path('f')))).toBe('CAIRN_UNCOMMITTED_CHANGES');
  });

  test('with subPath only that folder, as the root', async () => {
    const { mount, path, commit, head } = await rig({ 'in/a': 'a', 'in/d/b': 'b', out: 'o' });
    const f = await mount('f', { subPath: '/in' });
    expect(folder(f.dir)).toEqual({ a: 'a', 'd/b': 'b' });
    edit(path('f'), { a: 'edited', 'd/b': null, new: 'n' });
    await commit({ 'in/c': 'c', out: 'changed' });
    expect(await f.status()).toMatchObject({ added: ['new'], modified: ['a'], removed: ['d/b'], behind: 1 });
    expect(await f.commit()).toMatchObject({ added: 1, modified: 1, removed: 1, overwritten: [] });
    expect(await head()).toEqual({ 'in/a': 'edited', 'in/c': 'c', 'in/d': '/', 'in/new': 'n', out: 'changed' });
    expect(await f.reload()).toEqual({ updated: 1, conflicts: [], busy: [] });
    expect(folder(f.dir)).toEqual({ a: 'edited', c: 'c', d: '/', new: 'n' });
    expect(await codeOf(mount('g', { subPath: 'nothing' }))).toBe('ENOENT');
    expect(await codeOf(mount('g', { subPath: 'out' }))).toBe('ENOTDIR');
  });

  test('with readOnly it has no write bits, follows by reload, and cannot be committed', async () => {
    const { mount, path, commit } = await rig({ a: 'a', 'd/b': 'b' });
    const f = await mount('f', { readOnly: true });
    for (const name of ['', 'a', 'd', 'd/b']) expect(statSync(path('f', name)).mode & 0o222, name).toBe(0);
    expect(await codeOf(f.commit())).toBe('CAIRN_READ_ONLY');
    await commit({ 'd/b': 'changed', 'd/c': 'c', a: null });
    expect(await f.reload()).toMatchObject({ updated: 3 });
    expect(folder(f.dir)).toEqual({ 'd/b': 'changed', 'd/c': 'c' });
    for (const name of ['', 'd', 'd/b', 'd/c']) expect(statSync(path('f', name)).mode & 0o222, name).toBe(0);
    await f.close();
    const writable = await mount('f', { readOnly: false });
    for (const name of ['', 'd', 'd/b']) expect(statSync(path('f', name)).mode & 0o200, name).not.toBe(0);
    expect(await writable.status()).toMatchObject({ added: [], modified: [], removed: [] });
    edit(path('f'), { 'd/b': 'mine' });
    expect(await writable.commit()).toMatchObject({ modified: 1 });
  });
});

describe('a folder that is refused', () => {
  test('one that holds something else, with what to do', async () => {
    const { mount, path } = await rig({ a: 'a' });
    edit(path('f'), { mine: 'mine' });
    const error = await failure(mount('f'));
    expect(error).toMatchObject({ code: 'ENOTEMPTY', path: path('f') });
    expect(error.hint).toContain('cairn put');
    expect(folder(path('f'))).toEqual({ mine: 'mine' });
    writeFileSync(path('file'), '');
    expect(await codeOf(mount('file'))).toBe('ENOTDIR');
  });

  test('one that contains the store, or lies in it, also by way of a symlink', async () => {
    const { v, dir, path } = await rig({ a: 'a' });
    symlinkSync(path('store'), path('link'));
    for (const place of [dir, path('store'), path('store', 'f'), path('link', 'f')]) expect(await codeOf(v.mount(place))).toBe('EINVAL');
  });

  test('a mount of another volume, of another folder of it, of another store, and a copy of a mount', async () => {
    const { mount, store, path } = await rig({ 'd/a': 'a' });
    await (await mount('f')).close();
    const other = await store.volumes.fromName('w', { createIfMissing: true });
    expect(await codeOf(other.mount(path('f')))).toBe('ENOTEMPTY');
    expect(await codeOf(mount('f', { subPath: 'd' }))).toBe('ENOTEMPTY');
    const elsewhere = await rig();
    expect(await codeOf(elsewhere.v.mount(path('f')))).toBe('ENOTEMPTY');
    cpSync(path('f'), path('copy'), { recursive: true });
    expect(await codeOf(mount('copy'))).toBe('ENOTEMPTY');
    expect(await codeOf(openMount(path('copy')))).toBe('ENOTEMPTY');
    expect(folder(path('copy'))).toEqual({ 'd/a': 'a' });
  });

  test('paths of a volume that are a mount’s own are refused, wherever they are', async () => {
    const { mount, path } = await rig({ 'd/.cairn-mount/id': 'forged' });
    expect(await codeOf(mount('f'))).toBe('CAIRN_INVALID_PATH');
    expect(existsSync(path('f', 'd'))).toBe(false);
  });
});

describe('a mount survives its process', () => {
  test('mounting the folder again goes on, uncommitted files included, and rewrites nothing', async () => {
    const { mount, path, commit, head } = await rig({ a: 'a', b: 'b' });
    await (await mount('f')).close();
    edit(path('f'), { a: 'edited', c: 'c' });
    const before = statSync(path('f', 'b'));
    await commit({ b: 'theirs' });
    const again = await mount('f');
    expect(folder(again.dir)).toEqual({ a: 'edited', b: 'b', c: 'c' });
    expect(statSync(path('f', 'b'))).toMatchObject({ ino: before.ino, ctimeMs: before.ctimeMs });
    expect(await again.status()).toMatchObject({ added: ['c'], modified: ['a'], removed: [], behind: 1 });
    await again.commit();
    expect(await head()).toEqual({ a: 'edited', b: 'theirs', c: 'c' });
  });

  test('a folder that was moved is the same mount', async () => {
    const { mount, path } = await rig({ a: 'a' });
    await (await mount('f')).close();
    renameSync(path('f'), path('moved'));
    edit(path('moved'), { a: 'edited' });
    const moved = await mount('moved');
    expect(await moved.status()).toMatchObject({ modified: ['a'] });
  });

  test('a stat cache that is lost or damaged only means a re-read', async () => {
    const { mount, path, store } = await rig({ a: 'a', b: 'b' });
    for (const harm of ['lose', 'damage'] as const) {
      const f = await mount('f');
      await f.close();
      const [id] = readdirSync(join(store.info().dir, 'mounts'));
      const own = join(store.info().dir, 'mounts', id!);
      const caches = readdirSync(own).filter((name) => name.startsWith('stat-cache-'));
      expect(caches.length).toBeGreaterThan(0);
      for (const cache of caches.map((name) => join(own, name))) {
        if (harm === 'lose') rmSync(cache);
        else writeFileSync(cache, readFileSync(cache).fill(7, 20, 30));
      }
      const again = await mount('f');
      expect(await again.status()).toMatchObject({ added: [], modified: [], removed: [] });
      expect(await again.commit()).toMatchObject({ changed: false });
      await again.close();
    }
    expect(folder(path('f'))).toEqual({ a: 'a', b: 'b' });
  });

  test('after a power cut, files that nobody synced are read again, and torn ones come back', async () => {
    const { mount, path, store } = await rig({ a: 'whole', b: 'whole', c: 'whole' });
    const f = await mount('f');
    await f.close();
    const { tear } = await import('./power-cut.js');
    const { forgeBoot } = await import('../support/forge-boot.mjs');
    edit(path('f'), { c: 'edited after the reboot' });
    tear(path('f', 'a'), store.info().dir, 'zeros');
    tear(path('f', 'b'), store.info().dir, 'empty');
    forgeBoot(store.info().dir);
    const again = await mount('f');
    expect(folder(again.dir)).toEqual({ a: 'whole', b: 'whole', c: 'edited after the reboot' });
    expect(await again.status()).toMatchObject({ added: [], modified: ['c'], removed: [] });
  });

  test.each(['zeros', 'empty'] as const)(
    'after a power cut in the middle of a reload, old files that are torn (%s) are no edits of anybody, and the reload is ended',
    async (how) => {
      const { mount, path, store, commit } = await rig({ a: 'whole', b: 'whole', c: 'whole' });
      await (await mount('f')).close();
      await commit({ a: 'newer', b: 'newer' });
      const input = { store: store.info().dir, volume: 'v', folder: path('f'), actions: [['reload', {}]] };
      // When the second file is to be set aside.
      const child = Child.start('mounter.mjs', { ...input, faults: { failAt: 2, error: 'kill', kinds: ['link'] } });
      expect((await child.ended).signal).toBe('SIGKILL');
      const aside = path('f', '.cairn-mount', 'aside', 'a');
      expect(readFileSync(aside, 'utf8')).toBe('whole');
      const { tear } = await import('./power-cut.js');
      const { forgeBoot } = await import('../support/forge-boot.mjs');
      tear(aside, store.info().dir, how, 'a');
      tear(path('f', 'b'), store.info().dir, how);
      forgeBoot(store.info().dir);
      const again = await mount('f');
      expect(folder(again.dir)).toEqual({ a: 'newer', b: 'newer', c: 'whole' });
      expect(await again.status()).toMatchObject({ added: [], modified: [], removed: [], behind: 0 });
      await again.close();
    },
    60_000,
  );
});

test('what a mount needs is kept for it, until it is unmounted', async () => {
  const { mount, path, store } = await rig({ a: 'a' });
  const { createHasher } = await import('../../packages/core/dist/hash/blake3.js');
  const { listMounts, mountRoots } = await import('../../packages/core/dist/mount/roots.js');
  const roots = (): unknown[] => mountRoots(listMounts(join(store.info().dir, 'mounts'), createHasher('auto')));
  const f = await mount('f');
  expect(roots()).toHaveLength(1);
  const [before] = roots();
  edit(path('f'), { a: 'A' });
  await f.commit();
  expect(roots()).toHaveLength(1);
  expect(roots()[0]).not.toEqual(before);
  await f.close({ unmount: true });
  expect(roots()).toEqual([]);
});

test('a mount whose folder is not there is named by gc, and keeps what it needs until it is given up by hand', async () => {
  const { dir, mount, path, store, commit, v } = await rig({ a: Buffer.from(noise(200_000)).toString('base64') });
  const f = await mount('f');
  await f.close();
  const gone = await mount('gone');
  await gone.close();
  await commit({ a: 'small' });
  await v.reload();
  await v.prune({ keepLast: 1 });
  renameSync(path('gone'), path('moved'));
  const named = await store.gc();
  expect(named.lostMounts).toEqual([{ mount: expect.any(String) as string, dir: path('gone'), volume: 'v' }]);
  const id = named.lostMounts[0]!.mount;
  // It was only moved: nothing was taken from it.
  const moved = await mount('moved');
  expect(await moved.status()).toMatchObject({ added: [], modified: [], removed: [] });
  expect(await codeOf(store.gc({ forgetMount: id }))).toBe('CAIRN_INVALID_ARGUMENT');
  await moved.close();
  rmSync(path('moved'), { recursive: true });
  const before = (await store.usage()).stored;
  expect((await store.gc({ forgetMount: id })).lostMounts).toEqual([]);
  await store.gc();
  expect(before - (await store.usage()).stored).toBeLessThan(100_000);
  // The other one needs the same still; then only handles that were never closed do, and these go with the store.
  await (await mount('f')).close({ unmount: true });
  await store.close();
  await using again = await openStore(join(dir, 'store'));
  expect(await again.gc()).toMatchObject({ held: 0, waiting: 0, blockedBy: [] });
  expect((await again.usage()).stored).toBeLessThan(100_000);
  expect(readdirSync(join(dir, 'store', 'mounts'))).toEqual([]);
});

describe('closing', () => {
  test('leaves a mount that works without an owner; only unmounting ends it', async () => {
    const { mount, path } = await rig({ a: 'a' });
    const f = await mount('f');
    await f.close();
    await f.close();
    expect(await codeOf(f.commit())).toBe('CAIRN_CLOSED');
    edit(path('f'), { a: 'edited' });
    const found = await openMount(path('f'));
    expect(await found.status()).toMatchObject({ modified: ['a'], ownerPid: null });
    expect(await found.commit()).toMatchObject({ modified: 1 });
    await found.close({ unmount: true });
    expect(folder(path('f'))).toEqual({ a: 'edited' });
    expect(existsSync(path('f', '.cairn-mount'))).toBe(false);
    expect(await codeOf(openMount(path('f')))).toBe('CAIRN_NOT_A_MOUNT');
  });

  test('with removeFiles takes away what is committed, and refuses while something is not', async () => {
    const { mount, path, store } = await rig({ a: 'a', 'd/b': 'b' });
    const f = await mount('f', { ignore: ['*.log'] });
    edit(path('f'), { 'd/c': 'c', 'x.log': 'log' });
    expect(await codeOf(f.close({ removeFiles: true }))).toBe('CAIRN_UNCOMMITTED_CHANGES');
    await f.commit();
    await f.close({ removeFiles: true });
    expect(folder(path('f'))).toEqual({ 'x.log': 'log' });
    expect(readdirSync(join(store.info().dir, 'mounts'))).toEqual([]);
    const g = await mount('g');
    await g.close({ removeFiles: true });
    expect(existsSync(path('g'))).toBe(false);
  });

  test('the store closes its mounts, with their last commit', async () => {
    const { mount, store, path, dir } = await rig({ a: 'a' });
    const f = await mount('f', { backgroundCommit: { intervalMs: 1_000_000 } });
    edit(path('f'), { b: 'b' });
    await store.close();
    expect(await codeOf(f.status())).toBe('CAIRN_CLOSED');
    const { openStore } = await import('@cairn/core');
    const again = await openStore(join(dir, 'store'));
    expect((await again.volumes.info('v')).files).toBe(2);
    await again.close();
    chmodSync(path('f', 'b'), 0o644);
  });
});
