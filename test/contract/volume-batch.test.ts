import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { FileExistsError, type Batch, type Volume } from '@cairn/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { tempDir } from '../support/temp-dir.js';
import {
  codeOf,
  collect,
  contents,
  expectSameBytes,
  failure,
  newVolume,
  noise,
  temporaryStore,
  twoHandles,
  volumeV,
  writeAll,
} from './support.js';

/** A local folder with these files. */
function localFolder(files: Record<string, string | Uint8Array>): string {
  const dir = tempDir();
  for (const [name, data] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(dir, name)), { recursive: true });
    fs.writeFileSync(path.join(dir, name), data);
  }
  return dir;
}

const put = (files: Record<string, string>) => async (batch: Batch) => {
  for (const [remote, data] of Object.entries(files)) await batch.putFile({ data }, remote);
};

describe('a batch', () => {
  test('is a commit of its own, with message and metadata, on which the handle then stands', async () => {
    const { f, g } = await twoHandles({ a: '1' }, await temporaryStore());
    const result = await f.batchUpload(put({ 'd/b': '2' }), { message: 'batch', metadata: { n: 1 } });
    expect(result).toMatchObject({ changed: true, added: 1, modified: 0, removed: 0, overwritten: [], bytes: { logical: 1, new: 1 } });
    expect(result.snapshot).toMatchObject({ generation: 2, message: 'batch', metadata: { n: 1 } });
    expect(f.base).toEqual(result.snapshot);
    await g.reload();
    for (const handle of [f, g]) expect(await contents(handle)).toEqual({ a: '1', 'd/b': '2' });
  });

  test('drops everything when its callback rejects', async () => {
    const { store, name, f } = await twoHandles({ a: '1' });
    const local = localFolder({ x: 'x' });
    const failing = f.batchUpload(async (batch) => {
      await batch.putFile({ data: noise(5 << 20) }, 'big');
      await batch.putFile(path.join(local, 'x'), 'x');
      await batch.putDirectory(local, 'd');
      throw new Error('mine');
    });
    await expect(failing).rejects.toThrow('mine');
    expect(await contents(f)).toEqual({ a: '1' });
    expect([f.dirty, (await store.volumes.info(name)).generation]).toEqual([false, 1]);
  });

  test('starts from the head, and leaves the uncommitted changes of its handle uncommitted', async () => {
    const { open, f, g } = await twoHandles({ a: '1' });
    await f.writeFile('theirs', 'x');
    await f.commit();
    await writeAll(g, { a: 'uncommitted', mine: 'uncommitted' });
    await g.batchUpload(put({ batch: 'x' }));
    expect(await contents(await open())).toEqual({ a: '1', theirs: 'x', batch: 'x' });
    expect(await contents(g)).toEqual({ a: 'uncommitted', mine: 'uncommitted', theirs: 'x', batch: 'x' });
    expect(g.dirty).toBe(true);
    await g.reload({ discard: true });
    expect(await contents(g)).toEqual({ a: '1', theirs: 'x', batch: 'x' });
  });

  test('does not hold up its handle: commits, reloads and other batches go on while it is filled', async () => {
    const { open, f } = await twoHandles();
    await f.batchUpload(async (batch) => {
      await batch.putFile({ data: 'outer' }, 'outer');
      await f.writeFile('committed', 'x');
      await f.commit();
      await f.reload();
      await f.batchUpload(put({ inner: 'x' }));
    });
    expect(Object.keys(await contents(await open()))).toEqual(['committed', 'inner', 'outer']);
    expect(await contents(f)).toEqual(await contents(await open()));
  });

  test('puts that come when it is over are refused, and in no commit', async () => {
    const { open, f } = await twoHandles();
    let escaped: Batch | undefined;
    await f.batchUpload((batch) => Promise.resolve(void (escaped = batch)));
    expect(await codeOf(escaped!.putFile({ data: 'x' }, 'late'))).toBe('CAIRN_INVALID_ARGUMENT');
    expect(await codeOf(escaped!.putDirectory(tempDir(), 'late'))).toBe('CAIRN_INVALID_ARGUMENT');
    let late: Promise<string> | undefined;
    await f.batchUpload((batch) => {
      async function* slow(): AsyncGenerator<Uint8Array> {
        await new Promise((resolve) => setTimeout(resolve, 100));
        yield noise(10);
      }
      late = codeOf(batch.putFile({ data: slow() }, 'late'));
      return Promise.resolve();
    });
    expect(await late).toBe('CAIRN_INVALID_ARGUMENT');
    expect(await contents(await open())).toEqual({});
  });

  test('without changes makes no snapshot', async () => {
    const { f } = await twoHandles({ a: '1' });
    expect(await f.batchUpload(() => Promise.resolve())).toMatchObject({ changed: false, snapshot: { generation: 1 } });
    expect(await f.batchUpload(put({ a: '1' }))).toMatchObject({ changed: false, added: 0, modified: 0 });
    expect(await f.batchUpload(() => Promise.resolve(), { message: 'm' })).toMatchObject({ changed: true });
  });
});

describe('a path that is taken', () => {
  test('is a FileExistsError without force, and nothing of the batch is stored', async () => {
    const { f } = await twoHandles({ a: 'old', 'd/b': 'old' });
    for (const taken of ['a', 'd/b', 'd']) {
      const error: unknown = await f.batchUpload(put({ new: 'x', [taken]: 'other' })).catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(FileExistsError);
      expect(error).toMatchObject({ code: 'EEXIST', path: taken });
    }
    expect(await contents(f)).toEqual({ a: 'old', 'd/b': 'old' });
    expect(f.base?.generation).toBe(1);
  });

  test('of equal content is fine, another executable bit is not', async () => {
    const { f } = await twoHandles({ a: 'same' });
    expect(await f.batchUpload(put({ a: 'same', b: 'new' }))).toMatchObject({ added: 1, modified: 0 });
    expect(await codeOf(f.batchUpload((batch) => batch.putFile({ data: 'same' }, 'a', { executable: true })))).toBe('EEXIST');
  });

  test('is replaced with force; a folder never is by a file', async () => {
    const { f } = await twoHandles({ a: 'old', 'd/b': 'old' });
    expect(await f.batchUpload(put({ a: 'new' }), { force: true })).toMatchObject({ added: 0, modified: 1 });
    expect(await codeOf(f.batchUpload(put({ d: 'file' }), { force: true }))).toBe('EISDIR');
    expect(await codeOf(f.batchUpload(put({ 'a/below': 'x' }), { force: true }))).toBe('ENOTDIR');
    expect(await codeOf(f.batchUpload((batch) => batch.putDirectory(localFolder({ x: 'x' }), 'a'), { force: true }))).toBe('EEXIST');
    expect(await contents(f)).toEqual({ a: 'new', 'd/b': 'old' });
  });

  test('is looked for at the head of the moment of the commit, not in the handle', async () => {
    const { f, g } = await twoHandles({ a: 'old', gone: 'old' });
    await f.writeFile('added', 'theirs');
    await f.remove('gone');
    await f.commit();
    expect(await codeOf(g.batchUpload(put({ added: 'ours' })))).toBe('EEXIST');
    await g.batchUpload(put({ gone: 'ours' }));
    /** Commits by f while a batch of g is open. */
    const race = (change: () => Promise<void>, files: Record<string, string>, options = {}): Promise<unknown> =>
      g.batchUpload(async (batch) => {
        await put(files)(batch);
        await change();
        await f.commit();
      }, options);
    expect(await failure(race(() => f.writeFile('raced', 'theirs'), { raced: 'ours', other: 'x' }))).toMatchObject({
      code: 'EEXIST',
      path: 'raced',
    });
    expect(await contents(g)).not.toHaveProperty('other');
    await race(() => f.writeFile('equal', 'same'), { equal: 'same' });
    await race(() => f.writeFile('forced', 'theirs'), { forced: 'ours' }, { force: true });
    expect(await g.readFile('forced', 'utf8')).toBe('ours');
    expect(await (await g.snapshot('HEAD~1')).readFile('forced', 'utf8')).toBe('theirs');
    expect(await codeOf(race(() => f.writeFile('folder/x', 'theirs'), { folder: 'ours' }, { force: true }))).toBe('EEXIST');
    expect(
      await codeOf(race(() => f.writeFile('folder2/x', 'theirs'), { folder2: 'ours' }, { force: true, onConflict: () => 'ours' })),
    ).toBe('EEXIST');
    expect(await codeOf(race(() => f.writeFile('asked', 'theirs'), { asked: 'ours' }, { force: true, onConflict: 'fail' }))).toBe(
      'CAIRN_CONFLICT',
    );
  });
});

describe('putFile', () => {
  test('takes a path, a file URL, or data, with mode and time of a local file', async () => {
    const big = noise(5 << 20, 4);
    const local = localFolder({ 'a b#%é.bin': big, run: '#!/bin/sh\n' });
    const [name, run] = [path.join(local, 'a b#%é.bin'), path.join(local, 'run')];
    fs.chmodSync(run, 0o755);
    fs.utimesSync(name, 1_234_567_890, 1_234_567_890.5);
    const volume = await newVolume();
    await volume.batchUpload(async (batch) => {
      await batch.putFile(name, '/path');
      await batch.putFile(pathToFileURL(name), 'deep/er/url');
      await batch.putFile({ data: big }, 'data');
      await batch.putFile(run, 'run');
      await batch.putFile(run, 'not-run', { executable: false });
      await batch.putFile({ data: 'x' }, 'data-run', { executable: true });
    });
    for (const remote of ['path', 'deep/er/url', 'data']) expectSameBytes(await volume.readFile(remote), big);
    expect((await volume.stat('path')).mtimeMs).toBe(1_234_567_890_500);
    expect((await volume.stat('path')).contentId).toBe((await volume.stat('data')).contentId);
    expect(await Promise.all(['run', 'not-run', 'data-run', 'data'].map(async (remote) => (await volume.stat(remote)).executable))).toEqual(
      [true, false, true, false],
    );
  });

  test('follows a symlink that it is given, and refuses what is no file', async () => {
    const local = localFolder({ real: 'x' });
    fs.symlinkSync('real', path.join(local, 'link'));
    fs.symlinkSync('nowhere', path.join(local, 'broken'));
    execFileSync('mkfifo', [path.join(local, 'fifo')]);
    const volume = await newVolume();
    await volume.batchUpload((batch) => batch.putFile(path.join(local, 'link'), 'linked'));
    expect(await contents(volume)).toEqual({ linked: 'x' });
    const putting = (name: string): Promise<unknown> => volume.batchUpload((batch) => batch.putFile(path.join(local, name), 'remote'));
    expect(await failure(putting('missing'))).toMatchObject({ code: 'ENOENT', path: path.join(local, 'missing') });
    expect(await codeOf(putting('broken'))).toBe('ENOENT');
    expect(await codeOf(putting('.'))).toBe('EISDIR');
    expect(await codeOf(putting('fifo'))).toBe('EINVAL');
    expect(await codeOf(volume.batchUpload(put({ '/': 'x' })))).toBe('EISDIR');
    expect(await contents(volume)).toEqual({ linked: 'x' });
  });

  test('stores 300 files of all sizes alike, by few and by many', async () => {
    const local = localFolder(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`${i % 7}/${i}`, noise((i * i * 3) % 70_000, i)])));
    const volume = await newVolume();
    const progress: number[] = [];
    const result = await volume.batchUpload((batch) => batch.putDirectory(local, '/'), { onProgress: ({ files }) => progress.push(files) });
    expect(result).toMatchObject({ added: 300 });
    expect(progress.at(-1)).toBe(300);
    for (let i = 0; i < 300; i++) expectSameBytes(await volume.readFile(`${i % 7}/${i}`), noise((i * i * 3) % 70_000, i));
  });
});

describe('putDirectory', () => {
  test('stores files, empty folders, links as links and the executable bit, and skips sockets and pipes with a warning', async () => {
    const local = localFolder({ 'a.txt': 'a', 'd/b': 'b', 'd/run': 'x' });
    fs.mkdirSync(path.join(local, 'empty/inner'), { recursive: true });
    fs.symlinkSync('../a.txt', path.join(local, 'd/link'));
    fs.symlinkSync('nowhere', path.join(local, 'broken'));
    fs.symlinkSync('d', path.join(local, 'folder-link'));
    fs.chmodSync(path.join(local, 'd/run'), 0o700);
    execFileSync('mkfifo', [path.join(local, 'd/fifo')]);
    const server = net.createServer();
    onTestFinished(() => void server.close());
    await new Promise<void>((resolve) => server.listen(path.join(local, 'socket'), resolve));
    const warnings: unknown[] = [];
    const quiet = (): void => undefined;
    const store = await temporaryStore({ logger: { debug: quiet, info: quiet, warn: (text) => void warnings.push(text), error: quiet } });
    const volume = await volumeV(store);
    const { added } = await volume.batchUpload((batch) => batch.putDirectory(local, 'to'));
    expect(added).toBe(6);
    expect(await contents(volume)).toEqual({
      'to/a.txt': 'a', 'to/d/b': 'b', 'to/d/run': 'x', 'to/empty/inner': '/', 'to/d/link': '-> ../a.txt', 'to/broken': '-> nowhere', 'to/folder-link': '-> d',
    }); // prettier-ignore
    expect((await volume.stat('to/d/run')).executable).toBe(true);
    expect(warnings.sort()).toEqual([expect.stringContaining('fifo'), expect.stringContaining('socket')]);
  });

  test('again stores nothing; after a change only that', async () => {
    const local = localFolder({ a: noise(100_000, 1), 'd/b': noise(5 << 20, 2) });
    const volume = await newVolume();
    const upload = (): ReturnType<Volume['batchUpload']> => volume.batchUpload((batch) => batch.putDirectory(local, '/'), { force: true });
    await upload();
    fs.utimesSync(path.join(local, 'a'), 1, 1);
    expect(await upload()).toMatchObject({ changed: false, bytes: { new: 0 } });
    fs.appendFileSync(path.join(local, 'd/b'), 'end');
    const { modified, bytes } = await upload();
    expect(modified).toBe(1);
    expect(bytes.new).toBeLessThanOrEqual(131_072);
    expectSameBytes(await volume.readFile('d/b'), Buffer.concat([noise(5 << 20, 2), Buffer.from('end')]));
  });

  test('of a path that is put twice with force holds the last one, whoever stores it first', async () => {
    const many = (value: string): Record<string, string> =>
      Object.fromEntries(Array.from({ length: 700 }, (_, i) => [`f${i}`, `${value} ${i}`]));
    const [first, second] = [localFolder(many('first')), localFolder(many('second'))];
    const volume = await newVolume();
    await volume.batchUpload(
      async (batch) => {
        await batch.putDirectory(first, 'd');
        await batch.putDirectory(second, 'd');
      },
      { force: true },
    );
    const expected = Object.entries(many('second')).map(([name, value]) => [`d/${name}`, value]);
    expect(await contents(volume)).toEqual(Object.fromEntries(expected));
    const twice = volume.batchUpload(async (batch) => {
      await batch.putDirectory(first, 'e');
      await batch.putDirectory(second, 'e');
    });
    expect(await codeOf(twice)).toBe('EEXIST');
  });

  test('that cannot store what it was given ends at once, however busy its callback still is', async () => {
    const local = localFolder(Object.fromEntries(Array.from({ length: 700 }, (_, i) => [`f${i}`, noise(100, i)])));
    const volume = await newVolume();
    await volume.batchUpload(put({ f0: 'is there' }));
    const stuck = volume.batchUpload(async (batch) => {
      await batch.putDirectory(local, '/');
      await new Promise(() => undefined);
    });
    expect(await failure(stuck)).toMatchObject({ code: 'EEXIST', path: 'f0' });
    expect(Object.keys(await contents(volume))).toEqual(['f0']);
  });

  test('ignores by gitignore rules, relative to the folder', async () => {
    const local = localFolder({
      'a.tmp': '', 'keep.tmp': '', 'd/a.tmp': '', 'd/b': '', 'build/x': '', 'd/build/y': '', 'root-only': '', 'd/root-only': '', 'cache/deep/er/z': '', 'cache/.keep': '',
    }); // prettier-ignore
    const volume = await newVolume();
    await volume.batchUpload((batch) =>
      batch.putDirectory(local, '/', { ignore: ['# a comment', '*.tmp', '!keep.tmp', 'build/', '/root-only', 'cache/**/z'] }),
    );
    expect(Object.keys(await contents(volume)).sort()).toEqual(['cache/.keep', 'cache/deep/er', 'd/b', 'd/root-only', 'keep.tmp']);
  });

  test('merges into folders that are there, and an error names the path', async () => {
    const local = localFolder({ 'd/new': 'n', 'd/old': 'other' });
    const { f } = await twoHandles({ 'd/old': 'old', 'd/kept': 'kept' });
    expect(await failure(f.batchUpload((batch) => batch.putDirectory(local, '/')))).toMatchObject({ code: 'EEXIST', path: 'd/old' });
    expect(await f.batchUpload((batch) => batch.putDirectory(local, '/'), { force: true })).toMatchObject({ added: 1, modified: 1 });
    expect(await contents(f)).toEqual({ 'd/new': 'n', 'd/old': 'other', 'd/kept': 'kept' });
    expect(await codeOf(f.batchUpload((batch) => batch.putDirectory(path.join(local, 'd/new'), 'x')))).toBe('ENOTDIR');
    expect(await codeOf(f.batchUpload((batch) => batch.putDirectory(path.join(local, 'none'), 'x')))).toBe('ENOENT');
  });

  test('a name that a volume cannot hold is refused before anything is stored', async () => {
    const local = localFolder({ good: 'x', 'back\\slash': 'x' });
    const volume = await newVolume();
    expect(await codeOf(volume.batchUpload((batch) => batch.putDirectory(local, '/')))).toBe('CAIRN_INVALID_PATH');
    fs.rmSync(path.join(local, 'back\\slash'));
    fs.writeFileSync(Buffer.concat([Buffer.from(`${local}/not-utf8-`), Buffer.from([0xff])]), 'x');
    expect(await codeOf(volume.batchUpload((batch) => batch.putDirectory(local, '/')))).toBe('CAIRN_INVALID_PATH');
    expect(await collect(volume.history())).toEqual([]);
  });
});

describe('a file that changes while it is stored', () => {
  test('and never stops is CAIRN_SOURCE_CHANGED, with nothing stored; or it is stored as it was at one moment', async () => {
    const local = localFolder({ log: '' });
    const name = path.join(local, 'log');
    let ticks = 0;
    const writing = setInterval(() => fs.writeFileSync(name, String(ticks++ % 10).repeat(3000)), 1);
    onTestFinished(() => clearInterval(writing));
    const volume = await newVolume();
    for (let round = 0; round < 10; round++) {
      const outcome = await volume.batchUpload((batch) => batch.putFile(name, 'log'), { force: true }).catch((error: unknown) => error);
      if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'CAIRN_SOURCE_CHANGED', path: name });
      else expect(await volume.readFile('log', 'utf8')).toMatch(/^(\d?)\1*$/);
    }
  });
});
