import { execFileSync, spawn } from 'node:child_process';
import fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { codeOf, failure, noise } from '../contract/support.js';
import { edit, folder, rig } from './support.js';

describe('a commit publishes what changed in the folder', () => {
  test('files added, changed, removed and renamed; links, empty folders, the executable bit', async () => {
    const { mount, path, head } = await rig({ a: 'a', 'd/b': 'b', 'd/c': 'c', gone: 'x' });
    const f = await mount('f');
    edit(path('f'), { a: 'A', gone: null, 'new/deep/file': 'n', empty: '/', link: '-> a' });
    fs.renameSync(path('f', 'd'), path('f', 'e'));
    fs.chmodSync(path('f', 'e', 'b'), 0o755);
    const result = await f.commit({ message: 'm', metadata: { step: 1 } });
    expect(result).toMatchObject({ changed: true, added: 4, modified: 1, removed: 3, overwritten: [], busy: [], skipped: [] });
    expect(result.snapshot).toMatchObject({ message: 'm', metadata: { step: 1 } });
    const files = { a: 'A', 'e/b': 'b', 'e/c': 'c', 'new/deep/file': 'n', empty: '/', link: '-> a' };
    expect(await head()).toEqual(files);
    expect(folder(path('f'))).toEqual(files);
    expect(await f.status()).toMatchObject({ added: [], modified: [], removed: [], behind: 0 });
    expect(await f.commit()).toMatchObject({ changed: false, snapshot: { id: result.snapshot.id } });
  });

  test('files that become folders, and folders that become files or links', async () => {
    const { mount, path, head } = await rig({ a: 'a', 'd/b': 'b', 'e/f/g': 'g', l: 'l' });
    const f = await mount('f');
    for (const name of ['a', 'd', 'e', 'l']) fs.rmSync(path('f', name), { recursive: true });
    edit(path('f'), { 'a/x/y': 'y', d: 'now a file', e: '-> d', l: '/' });
    await f.commit();
    expect(await head()).toEqual({ 'a/x/y': 'y', d: 'now a file', e: '-> d', l: '/' });
    for (const name of ['a', 'd', 'e', 'l']) fs.rmSync(path('f', name), { recursive: true });
    edit(path('f'), { a: 'a', 'd/b': 'b', 'e/f/g': 'g', l: 'l' });
    await f.commit();
    expect(await head()).toEqual({ a: 'a', 'd/b': 'b', 'e/f/g': 'g', l: 'l' });
  });

  test('only what changed is read: a large file is not, however its neighbours change', async () => {
    const { v, path } = await rig({ a: 'a' });
    await v.writeFile('big', noise(9 << 20));
    await v.commit();
    const f = await v.mount(path('f'));
    const atime = new Date(1_000_000);
    fs.utimesSync(path('f', 'big'), atime, fs.statSync(path('f', 'big')).mtime);
    await f.commit();
    edit(path('f'), { a: 'A' });
    const readBefore = bytesRead();
    await f.commit();
    expect(bytesRead() - readBefore).toBeLessThan(4 << 20);
  });

  test('an edit of the same size, right after the file was stored, is seen: clocks tick more slowly than programs write', async () => {
    const { mount, path, head } = await rig({ a: '0000' });
    const f = await mount('f');
    for (let i = 1; i <= 20; i++) {
      const text = String(i).padStart(4, '0');
      fs.writeFileSync(path('f', 'a'), text);
      await f.commit();
      expect(await head()).toEqual({ a: text });
    }
  });

  test('a touched file is no change, and is not read twice', async () => {
    const { mount, path } = await rig({ a: 'a' });
    const f = await mount('f');
    fs.utimesSync(path('f', 'a'), new Date(), new Date());
    expect(await f.status()).toMatchObject({ modified: [] });
    expect(await f.commit()).toMatchObject({ changed: false });
  });

  test('hard-linked names are files of their own', async () => {
    const { mount, path, head } = await rig({ a: 'a' });
    const f = await mount('f');
    fs.linkSync(path('f', 'a'), path('f', 'b'));
    await f.commit();
    edit(path('f'), { b: null });
    fs.writeFileSync(path('f', 'a'), 'A');
    await f.commit();
    expect(await head()).toEqual({ a: 'A' });
  });

  test('devices, sockets, pipes and names that are no UTF-8 are skipped and named', async () => {
    const { mount, path, head } = await rig({ a: 'a', was: 'a file' });
    const f = await mount('f');
    fs.rmSync(path('f', 'was'));
    for (const name of ['pipe', 'was']) execFileSync('mkfifo', [path('f', name)]);
    fs.writeFileSync(Buffer.concat([Buffer.from(`${path('f')}/`), Buffer.from([0x66, 0xff])]), 'x');
    fs.writeFileSync(path('f', 'back\\slash'), 'x');
    const { skipped } = await f.commit();
    expect(skipped).toEqual(['back\\slash', 'f\ufffd', 'pipe', 'was']);
    expect(await head()).toEqual({ a: 'a' });
  });

  test('what is ignored is neither stored nor, where the volume has it, removed', async () => {
    const { mount, path, head } = await rig({ 'a.log': 'kept', a: 'a' });
    const f = await mount('f', { ignore: ['*.log', 'tmp/'] });
    edit(path('f'), { 'b.log': 'x', 'tmp/x': 'x', 'a.log': null, b: 'b' });
    await f.commit();
    expect(await head()).toEqual({ 'a.log': 'kept', a: 'a', b: 'b' });
    await f.close();
    const again = await mount('f');
    expect(await again.status()).toMatchObject({ added: [], removed: [] });
  });

  test('files named .cairnignore say what is ignored in their folders, as in a folder that is put', async () => {
    const { mount, path, head } = await rig({ 'd/kept.tmp': 'x', 'd/e/f': 'f' });
    const f = await mount('f');
    edit(path('f'), {
      '.cairnignore': '*.tmp\n/top\n',
      'd/.cairnignore': '!good.tmp\ne/g\n',
      'a.tmp': 'x',
      top: 'x',
      'd/top': 'x',
      'd/good.tmp': 'x',
      'd/bad.tmp': 'x',
      'd/e/g': 'x',
      'd/kept.tmp': null,
    });
    await f.commit();
    const paths = ['.cairnignore', 'd/.cairnignore', 'd/e/f', 'd/good.tmp', 'd/kept.tmp', 'd/top'];
    expect(Object.keys(await head()).sort()).toEqual(paths);
    expect(await f.status()).toMatchObject({ added: [], modified: [], removed: [] });
    edit(path('f'), { 'd/.cairnignore': null });
    expect(await f.status()).toMatchObject({ added: ['d/e/g'], removed: ['d/.cairnignore'] });
  });

  test('a file that keeps changing is left out and named, and the rest is committed', async () => {
    const { mount, path, head } = await rig({ busy: 'old' });
    const f = await mount('f');
    const child = spawn(process.execPath, [
      '-e',
      `const fs = require('node:fs'); const fd = fs.openSync(process.argv[1], 'w');
       for (let i = 0; ; i++) fs.writeSync(fd, Buffer.alloc(4096, i), 0, 4096, (i % 64) * 4096);`,
      path('f', 'busy'),
    ]);
    onTestFinished(() => void child.kill('SIGKILL'));
    // A writer waits while the disk takes what it wrote; who only sets the time never does.
    const toucher = spawn(process.execPath, [
      '-e',
      `const fs = require('node:fs'); const fd = fs.openSync(process.argv[1], 'r+'); const cell = new Int32Array(new SharedArrayBuffer(4));
       for (;;) { fs.futimesSync(fd, Date.now() / 1000, Date.now() / 1000); Atomics.wait(cell, 0, 0, 2); }`,
      path('f', 'busy'),
    ]);
    onTestFinished(() => void toucher.kill('SIGKILL'));
    while (fs.statSync(path('f', 'busy')).size < 200_000) await sleep(5);
    edit(path('f'), { other: 'o' });
    expect(await f.status()).toMatchObject({ modified: ['busy'], busy: process.platform === 'linux' ? ['busy'] : [] });
    // Who gets no turn for long does not keep it from being read.
    let result = await f.commit();
    while (result.busy.length === 0) {
      edit(path('f'), { other: `${Math.random()}` });
      result = await f.commit();
    }
    expect(result).toMatchObject({ busy: ['busy'], modified: result.added === 1 ? 0 : 1 });
    expect((await head())['other']).toBe(fs.readFileSync(path('f', 'other'), 'utf8'));
    for (const writer of [child, toucher]) {
      writer.kill('SIGKILL');
      await new Promise((resolve) => writer.once('close', resolve));
    }
    expect(await f.commit()).toMatchObject({ busy: [], modified: 1 });
    expect((await head())['busy']).toBe(fs.readFileSync(path('f', 'busy'), 'utf8'));
  });

  test('hundreds of files, by the worker threads', async () => {
    const { mount, path, head } = await rig();
    const f = await mount('f');
    const files = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`d${i % 7}/${i}`, `file ${i}`]));
    edit(path('f'), files);
    expect(await f.commit()).toMatchObject({ added: 300, busy: [], skipped: [] });
    expect(await head()).toEqual(files);
  });
});

describe('a commit never moves the folder beyond its own changes', () => {
  test('what another mount committed meanwhile is in the head, not here, and is not undone by the next commit', async () => {
    const { mount, path, head } = await rig({ a: 'a', b: 'b' });
    const [f, g] = [await mount('f'), await mount('g')];
    edit(path('f'), { a: 'from f', 'only/f': 'f' });
    await f.commit();
    edit(path('g'), { b: 'from g' });
    await g.commit();
    expect(folder(path('g'))).toEqual({ a: 'a', b: 'from g' });
    expect(await g.status()).toMatchObject({ added: [], modified: [], removed: [], behind: 1 });
    edit(path('g'), { c: 'also from g' });
    await g.commit();
    expect(await head()).toEqual({ a: 'from f', b: 'from g', 'only/f': 'f', c: 'also from g' });
    expect(await g.status()).toMatchObject({ behind: 1 });
    expect(folder(path('f'))).toEqual({ a: 'from f', b: 'b', 'only/f': 'f' });
  });

  test('a path that both changed: the last one wins and the other is named; or nothing is published', async () => {
    const { mount, path, head } = await rig({ a: 'a', b: 'b' });
    const [f, g] = [await mount('f'), await mount('g')];
    edit(path('f'), { a: 'from f' });
    await f.commit();
    edit(path('g'), { a: 'from g', b: 'from g' });
    expect(await failure(g.commit({ onConflict: 'fail' }))).toMatchObject({ code: 'CAIRN_CONFLICT', paths: ['a'] });
    expect(await head()).toEqual({ a: 'from f', b: 'b' });
    expect(await g.status()).toMatchObject({ modified: ['a', 'b'] });
    expect(await g.commit({ onConflict: () => 'theirs' })).toMatchObject({ overwritten: [] });
    expect(await head()).toEqual({ a: 'from f', b: 'from g' });
    edit(path('g'), { a: 'again' });
    expect(await g.commit()).toMatchObject({ overwritten: ['a'] });
    expect(await head()).toEqual({ a: 'again', b: 'from g' });
  });

  test('a folder that was removed, or replaced by another one, does not count as all deleted', async () => {
    const { mount, path, head } = await rig({ a: 'a' });
    const f = await mount('f');
    fs.rmSync(path('f'), { recursive: true });
    expect(await codeOf(f.commit())).toBe('CAIRN_NOT_A_MOUNT');
    fs.mkdirSync(path('f'));
    expect(await codeOf(f.commit())).toBe('CAIRN_NOT_A_MOUNT');
    expect(await head()).toEqual({ a: 'a' });
  });

  test('of a deleted volume it fails, and the files stay', async () => {
    const { mount, path, store } = await rig({ a: 'a' });
    const f = await mount('f');
    await store.volumes.delete('v');
    edit(path('f'), { a: 'A' });
    expect(await codeOf(f.commit())).toBe('CAIRN_VOLUME_NOT_FOUND');
    expect(folder(path('f'))).toEqual({ a: 'A' });
  });
});

/** Bytes that this process has asked the system for. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)/m.exec(fs.readFileSync(join('/proc', 'self', 'io'), 'utf8'))![1]);
}
