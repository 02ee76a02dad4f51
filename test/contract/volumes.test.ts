import fs from 'node:fs';
import path from 'node:path';
import { openStore, VolumeExistsError, VolumeNotFoundError, type Store } from '@cairn/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { tempDir } from '../support/temp-dir.js';
import { codeOf, collect, contents, failure, noise, runNode, temporaryStore, volumeV, writeAll } from './support.js';

const names = async (store: Store): Promise<string[]> => (await store.volumes.list()).map((info) => info.name);

describe('volumes', () => {
  test('create makes an empty one; a second is refused unless allowed', async () => {
    const store = await temporaryStore({ clock: () => new Date(1e12) });
    await store.volumes.create('a');
    expect(await store.volumes.info('a')).toEqual({
      name: 'a',
      head: null,
      generation: 0,
      createdAt: new Date(1e12),
      updatedAt: null,
      files: 0,
      size: 0,
      damaged: false,
    });
    expect(await store.volumes.create('a').catch((error: unknown) => error)).toBeInstanceOf(VolumeExistsError);
    expect(await failure(store.volumes.create('a'))).toMatchObject({ code: 'CAIRN_VOLUME_EXISTS', volume: 'a' });
    await store.volumes.create('a', { allowExisting: true });
    expect(await names(store)).toEqual(['a']);
  });

  test('created ten times at once is made once', async () => {
    const store = await temporaryStore();
    const outcomes = await Promise.allSettled(Array.from({ length: 10 }, () => store.volumes.create('a')));
    expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1);
    await Promise.all(Array.from({ length: 10 }, () => store.volumes.fromName('b', { createIfMissing: true })));
    expect(await names(store)).toEqual(['a', 'b']);
  });

  test('fromName needs one, unless it may make it', async () => {
    const store = await temporaryStore();
    expect(await store.volumes.fromName('a').catch((error: unknown) => error)).toBeInstanceOf(VolumeNotFoundError);
    expect(await codeOf(store.volumes.info('a'))).toBe('CAIRN_VOLUME_NOT_FOUND');
    const volume = await store.volumes.fromName('a', { createIfMissing: true });
    expect([volume.name, volume.base]).toEqual(['a', null]);
  });

  test('info and list count the files, links and bytes at the head', async () => {
    const store = await temporaryStore();
    const volume = await volumeV(store);
    await writeAll(volume, { a: '123', 'd/b': '4567', 'd/c': '' });
    await volume.symlink('a', 'link');
    await volume.mkdir('empty');
    const { snapshot } = await volume.commit();
    const info = await store.volumes.info('v');
    expect(info).toMatchObject({ head: snapshot.id, generation: 1, files: 4, size: 7, updatedAt: snapshot.createdAt });
    await volume.remove('d', { recursive: true });
    expect(await store.volumes.list()).toEqual([info]);
    await volume.commit();
    expect(await store.volumes.info('v')).toMatchObject({ generation: 2, files: 2, size: 3 });
  });

  test('rename keeps everything but the name', async () => {
    const store = await temporaryStore();
    const volume = await volumeV(store);
    await volume.writeFile('a', 'x');
    await volume.commit();
    await volume.tag('t');
    await store.volumes.create('taken');
    expect(await codeOf(store.volumes.rename('v', 'taken'))).toBe('CAIRN_VOLUME_EXISTS');
    expect(await codeOf(store.volumes.rename('missing', 'w'))).toBe('CAIRN_VOLUME_NOT_FOUND');
    await store.volumes.rename('v', 'v');
    const before = await store.volumes.info('v');
    await store.volumes.rename('v', 'w');
    expect(await store.volumes.info('w')).toEqual({ ...before, name: 'w' });
    expect(await names(store)).toEqual(['taken', 'w']);
    const renamed = await store.volumes.fromName('w');
    expect((await renamed.snapshot('t')).info).toMatchObject({ volume: 'w', tags: ['t'] });
    await store.volumes.create('v');
    expect((await store.volumes.info('v')).generation).toBe(0);
  });

  test('delete is at once, of that volume only, and its name is free', async () => {
    const store = await temporaryStore();
    const volume = await volumeV(store);
    await volume.writeFile('a', noise(100_000));
    await volume.commit();
    await store.volumes.fork('v', 'w');
    await store.volumes.delete('v');
    expect(await names(store)).toEqual(['w']);
    expect(await codeOf(store.volumes.delete('v'))).toBe('CAIRN_VOLUME_NOT_FOUND');
    await store.volumes.delete('v', { allowMissing: true });
    expect(Object.keys(await contents(await store.volumes.fromName('w')))).toEqual(['a']);
    expect(await contents(await volumeV(store))).toEqual({});
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
  });

  test('fork shares history up to a ref, copies no data, and goes its own way', async () => {
    const store = await temporaryStore();
    const volume = await volumeV(store);
    for (const text of ['1', '2', '3']) {
      await volume.writeFile('a', text);
      await volume.commit({ message: text });
    }
    await volume.tag('two', 'HEAD~1');
    const { stored } = await store.usage();
    await store.volumes.fork('v', 'all');
    await store.volumes.fork('v', 'some', { at: 'two' });
    await store.volumes.fork('v', 'first', { at: 'HEAD~2' });
    expect((await store.usage()).stored).toBe(stored);
    const heads = await Promise.all(
      ['all', 'some', 'first'].map(async (name) => (await store.volumes.fromName(name)).readFile('a', 'utf8')),
    );
    expect(heads).toEqual(['3', '2', '1']);

    const some = await store.volumes.fromName('some');
    expect((await collect(some.history())).map((info) => info.message)).toEqual(['2', '1']);
    await some.writeFile('a', 'forked');
    const { snapshot } = await some.commit();
    expect(snapshot).toMatchObject({ generation: 3, parent: (await volume.snapshot('HEAD~1')).info.id });
    expect(await volume.reload()).toMatchObject({ to: { message: '3' } });
    expect((await collect(some.diff('HEAD', await volume.snapshot()))).map((change) => change.path)).toEqual(['a']);
    await store.volumes.delete('v');
    expect((await collect(some.history())).map((info) => info.message)).toEqual(['', '2', '1']);
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
  });

  test('fork of an empty volume is empty; wrong names and refs are refused', async () => {
    const store = await temporaryStore();
    await store.volumes.create('v');
    await store.volumes.fork('v', 'w');
    expect(await store.volumes.info('w')).toMatchObject({ generation: 0, head: null });
    expect(await codeOf(store.volumes.fork('v', 'w'))).toBe('CAIRN_VOLUME_EXISTS');
    expect(await codeOf(store.volumes.fork('missing', 'x'))).toBe('CAIRN_VOLUME_NOT_FOUND');
    expect(await codeOf(store.volumes.fork('v', 'x', { at: 'HEAD~1' }))).toMatch(/^CAIRN_(INVALID_ARGUMENT|SNAPSHOT_NOT_FOUND)$/);
    await (await volumeV(store)).commit();
    expect(await codeOf(store.volumes.fork('v', 'x', { at: 'HEAD~1' }))).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    expect(await names(store)).toEqual(['v', 'w']);
  });
});

describe('an ephemeral volume', () => {
  test('works as any other, has no name, is in no list, and is gone when its handle closes', async () => {
    const store = await temporaryStore();
    const volume = await store.volumes.ephemeral();
    expect(volume.name).toBeUndefined();
    await volume.writeFile('a', 'x');
    const { snapshot } = await volume.commit();
    await volume.writeFile('a', 'y');
    await volume.commit();
    expect((await collect(volume.history())).map((info) => info.generation)).toEqual([2, 1]);
    expect(await (await volume.snapshot(snapshot.id)).readFile('a', 'utf8')).toBe('x');
    expect(await names(store)).toEqual([]);
    const other = await volumeV(store);
    await other.copy('a', 'a', { from: volume });
    await other.commit();
    await volume.close();
    await volume.close();
    expect((await store.usage()).volumes.map(({ name }) => name)).toEqual(['v']);
    expect(await contents(other)).toEqual({ a: 'y' });
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
  });

  test('does not touch the others of its kind', async () => {
    const store = await temporaryStore();
    const [a, b] = [await store.volumes.ephemeral(), await store.volumes.ephemeral()];
    await a.writeFile('only', 'a');
    await a.commit();
    await b.reload();
    expect(await contents(b)).toEqual({});
    await a.close();
    await b.writeFile('x', 'y');
    expect(await b.commit()).toMatchObject({ changed: true });
  });

  test('of a process that is gone is removed by the next one that writes', async () => {
    const dir = path.join(tempDir(), 'store');
    const left = await runNode(`
      import { openStore } from '@cairn/core';
      const store = await openStore(${JSON.stringify(dir)});
      const volume = await store.volumes.ephemeral();
      await volume.writeFile('a', 'x');
      await volume.commit();
      process.kill(process.pid, 'SIGKILL');`);
    expect([left.code, left.err, fs.existsSync(path.join(dir, 'format'))]).toEqual([null, '', true]);
    const store = await openStore(dir);
    onTestFinished(() => store.close());
    await store.volumes.create('v');
    expect((await store.usage()).volumes.map(({ name }) => name)).toEqual(['v']);
  });
});
