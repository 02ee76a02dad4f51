import fs from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { failure } from '../contract/support.js';
import { edit, folder, rig, temporaries } from './support.js';

describe('a reload brings in what others committed', () => {
  test('files, links and folders that came, changed and went', async () => {
    const { mount, path, commit, v } = await rig({ a: 'a', 'd/b': 'b', 'gone/x': 'x', same: 's' });
    const f = await mount('f');
    const before = fs.statSync(path('f', 'same'));
    await commit({ a: 'A', 'd/c': 'c', gone: null, empty: '/', 'e/deep/file': 'n' });
    await v.reload();
    await v.symlink('a', 'link');
    await v.commit();
    expect(folder(path('f'))).toEqual({ a: 'a', 'd/b': 'b', 'gone/x': 'x', same: 's' });
    expect(await f.reload()).toEqual({ updated: 5, conflicts: [], busy: [] });
    expect(folder(path('f'))).toEqual({ a: 'A', 'd/b': 'b', 'd/c': 'c', 'e/deep/file': 'n', empty: '/', link: '-> a', same: 's' });
    expect(fs.statSync(path('f', 'same'))).toMatchObject({ ino: before.ino, ctimeMs: before.ctimeMs });
    expect(await f.status()).toMatchObject({ added: [], modified: [], removed: [], behind: 0 });
    expect(temporaries(path('f'))).toEqual([]);
    expect(await f.reload()).toMatchObject({ updated: 0 });
  });

  test('also where nothing is known of how files looked: what nobody edited is not kept over it', async () => {
    const { mount, path, commit, store, head } = await rig({ a: 'a', 'd/b': 'b', mine: 'm' });
    await (await mount('f')).close();
    const mounts = join(store.info().dir, 'mounts');
    const caches = fs.readdirSync(mounts, { recursive: true, encoding: 'utf8' }).filter((name) => name.includes('stat-cache-'));
    expect(caches.length).toBeGreaterThan(0);
    for (const name of caches) fs.rmSync(join(mounts, name));
    edit(path('f'), { mine: 'edited' });
    await commit({ a: 'A', 'd/b': null });
    const f = await mount('f');
    expect(await f.reload()).toEqual({ updated: 2, conflicts: [], busy: [] });
    expect(folder(path('f'))).toEqual({ a: 'A', d: '/', mine: 'edited' });
    await f.commit();
    expect(await head()).toEqual({ a: 'A', d: '/', mine: 'edited' });
  });

  test('files that become folders, and folders that become files', async () => {
    const { mount, path, commit } = await rig({ a: 'a', 'd/b': 'b' });
    const f = await mount('f');
    await commit({ a: null, d: null });
    await commit({ 'a/x/y': 'y', d: 'file' });
    await f.reload();
    expect(folder(path('f'))).toEqual({ 'a/x/y': 'y', d: 'file' });
    expect(await f.status()).toMatchObject({ added: [], modified: [], removed: [] });
  });

  test('a changed executable bit alone moves no bytes', async () => {
    const { mount, path, v } = await rig({ a: 'a' });
    const f = await mount('f');
    const { ino } = fs.statSync(path('f', 'a'));
    await v.writeFile('a', 'a', { executable: true });
    await v.commit();
    expect(await f.reload()).toMatchObject({ updated: 1 });
    expect(fs.statSync(path('f', 'a')).mode & 0o111).not.toBe(0);
    expect(fs.statSync(path('f', 'a')).ino).toBe(ino);
    expect(await f.status()).toMatchObject({ modified: [] });
  });

  test('names that are hard links of one file are replaced one by one', async () => {
    const { mount, path, commit } = await rig({ a: 'same', b: 'other' });
    const f = await mount('f');
    fs.rmSync(path('f', 'b'));
    fs.linkSync(path('f', 'a'), path('f', 'b'));
    await f.commit();
    await commit({ a: 'A', b: 'B' });
    expect(await f.reload()).toEqual({ updated: 2, conflicts: [], busy: [] });
    expect(folder(path('f'))).toEqual({ a: 'A', b: 'B' });
  });

  test('programs that have a file open go on reading the old bytes', async () => {
    const { mount, path, commit } = await rig({ a: 'old bytes' });
    const f = await mount('f');
    const fd = fs.openSync(path('f', 'a'), 'r');
    await commit({ a: 'new' });
    expect(await f.reload()).toMatchObject({ updated: 1, busy: [] });
    expect(fs.readFileSync(fd, 'utf8')).toBe('old bytes');
    fs.closeSync(fd);
    expect(folder(path('f'))).toEqual({ a: 'new' });
  });

  test.runIf(process.platform === 'linux')(
    'a file open for writing is busy: it keeps its version, and nothing that others committed is undone',
    async () => {
      const { mount, path, commit, head } = await rig({ a: 'old', 'd/b': 'b', c: 'c' });
      const f = await mount('f');
      const fds = [fs.openSync(path('f', 'a'), 'r+'), fs.openSync(path('f', 'd', 'b'), 'r+')];
      await commit({ a: 'theirs', d: null, c: 'C' });
      await commit({ d: 'a file now' });
      expect(await f.reload()).toEqual({ updated: 1, conflicts: [], busy: ['a', 'd/b'] });
      expect(folder(path('f'))).toEqual({ a: 'old', 'd/b': 'b', c: 'C' });
      expect(await f.status()).toMatchObject({ added: [], modified: [], removed: [], behind: 1 });
      expect(await f.commit()).toMatchObject({ changed: false });
      expect(await head()).toEqual({ a: 'theirs', d: 'a file now', c: 'C' });
      fds.forEach((fd) => fs.closeSync(fd));
      expect(await f.reload()).toEqual({ updated: 3, conflicts: [], busy: [] });
      expect(folder(path('f'))).toEqual({ a: 'theirs', d: 'a file now', c: 'C' });
    },
  );

  test('costs by what changed: files that did not are not even looked at', async () => {
    const { mount, path, commit } = await rig(Object.fromEntries(Array.from({ length: 200 }, (_, i) => [`d${i % 5}/${i}`, `${i}`])));
    const f = await mount('f');
    await commit({ 'd0/0': 'changed' });
    // A folder that cannot be listed would be in the way of a scan of everything.
    fs.rmSync(path('f', 'd3'), { recursive: true });
    fs.writeFileSync(path('f', 'd3'), 'no folder any more');
    expect(await f.reload()).toEqual({ updated: 1, conflicts: [], busy: [] });
    expect(fs.readFileSync(path('f', 'd0', '0'), 'utf8')).toBe('changed');
    expect(fs.readFileSync(path('f', 'd3'), 'utf8')).toBe('no folder any more');
  });
});

describe('local changes stay through a reload', () => {
  test('those of other paths, on top of the new version', async () => {
    const { mount, path, commit, head } = await rig({ a: 'a', b: 'b', c: 'c' });
    const f = await mount('f');
    edit(path('f'), { a: 'mine', c: null, n: 'new' });
    await commit({ b: 'theirs' });
    expect(await f.reload()).toMatchObject({ updated: 1, conflicts: [] });
    expect(folder(path('f'))).toEqual({ a: 'mine', b: 'theirs', n: 'new' });
    expect(await f.status()).toMatchObject({ added: ['n'], modified: ['a'], removed: ['c'], behind: 0 });
    await f.commit();
    expect(await head()).toEqual({ a: 'mine', b: 'theirs', n: 'new' });
  });

  test('a path that both changed is kept as it is here and named; with `fail` nothing is touched', async () => {
    const { mount, path, commit, head } = await rig({ a: 'a', b: 'b', d: 'd', 'e/f': 'f' });
    const f = await mount('f');
    edit(path('f'), { a: 'mine', d: null, 'e/f': null, 'x/y': 'mine', same: 'same' });
    await commit({ a: 'theirs', b: 'theirs', d: 'theirs', 'e/f': 'theirs', x: 'a file there', same: 'same' });
    const mine = folder(path('f'));
    const error = await failure(f.reload({ onConflict: 'fail' }));
    expect(error).toMatchObject({ code: 'CAIRN_CONFLICT', paths: ['a', 'd', 'x', 'e/f'] });
    expect(folder(path('f'))).toEqual(mine);
    const result = await f.reload();
    expect(result.conflicts).toEqual(['a', 'd', 'e/f', 'x']);
    expect(folder(path('f'))).toEqual({ ...mine, b: 'theirs' });
    await f.commit();
    expect(await head()).toEqual({ ...mine, b: 'theirs' });
  });

  test('what was added in a folder that others removed keeps that folder, without what they removed', async () => {
    const { mount, path, commit } = await rig({ 'd/a': 'a', 'd/b': 'b', o: 'o' });
    const f = await mount('f');
    edit(path('f'), { 'd/new/mine': 'mine' });
    await commit({ d: null });
    expect(await f.reload()).toMatchObject({ conflicts: [] });
    expect(folder(path('f'))).toEqual({ 'd/new/mine': 'mine', o: 'o' });
  });

  test('a symlink in the place of a folder is not followed to bring something in', async () => {
    const { mount, path, commit } = await rig({ 'd/a': 'a', o: 'o' });
    const f = await mount('f');
    fs.mkdirSync(path('outside'));
    fs.rmSync(path('f', 'd'), { recursive: true });
    fs.symlinkSync(path('outside'), path('f', 'd'));
    await commit({ 'd/a': 'theirs', 'd/b': 'theirs' });
    expect((await f.reload()).conflicts).toContain('d');
    expect(fs.readdirSync(path('outside'))).toEqual([]);
    expect(folder(path('f'))).toEqual({ d: `-> ${path('outside')}`, o: 'o' });
  });

  test('a pipe where somebody committed a file is left alone, and does not look deleted', async () => {
    const { mount, path, commit, head } = await rig({ o: 'o' });
    const f = await mount('f');
    execFileSync('mkfifo', [path('f', 'p')]);
    await commit({ p: 'file' });
    expect(await f.reload()).toMatchObject({ updated: 0, busy: ['p'] });
    await f.commit();
    expect(await head()).toEqual({ o: 'o', p: 'file' });
  });
});
