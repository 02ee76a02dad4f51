import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import {
  CairnError,
  ClosedError,
  isCairnError,
  openStore,
  openTemporaryStore,
  StoreFormatError,
  type Store,
  type Volume,
} from '@cairn/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { tempDir } from '../support/temp-dir.js';
import { codeOf, collect, expectSameBytes, failure, noise, runNode, temporaryStore, volumeV } from './support.js';

/** A store in a folder, closed at the end of the test at the latest. */
async function opened(...args: Parameters<typeof openStore>): Promise<Store> {
  const store = await openStore(...args);
  onTestFinished(() => store.close());
  return store;
}

/** A folder that holds a closed store with one commit. */
async function closedStore(): Promise<string> {
  const dir = path.join(tempDir(), 'store');
  const store = await openStore(dir);
  const volume = await volumeV(store);
  await volume.writeFile('a', 'kept');
  await volume.commit();
  await store.close();
  return dir;
}

function everythingIn(dir: string): string[] {
  return fs.readdirSync(dir, { recursive: true, encoding: 'utf8' }).sort();
}

describe('opening a store', () => {
  test('makes it in a new folder, whatever is missing above, and in an empty one', async () => {
    for (const dir of [path.join(tempDir(), 'not', 'yet', 'there'), tempDir()]) {
      const store = await opened(dir);
      expect(store.info()).toMatchObject({ dir: fs.realpathSync(dir), formatVersion: 1, readOnly: false });
    }
  });

  test('makes nothing with create: false, nor when it is to be read only', async () => {
    const dir = path.join(tempDir(), 'missing');
    expect(await codeOf(openStore(dir, { create: false }))).toBe('CAIRN_STORE_NOT_FOUND');
    expect(await codeOf(openStore(dir, { readOnly: true }))).toBe('CAIRN_STORE_NOT_FOUND');
    expect(fs.existsSync(dir)).toBe(false);
    fs.mkdirSync(dir);
    expect(await codeOf(openStore(dir, { create: false }))).toBe('CAIRN_STORE_NOT_FOUND');
    expect(everythingIn(dir)).toEqual([]);
  });

  test('refuses a folder that holds something else, and leaves it as it was', async () => {
    const dir = tempDir();
    fs.writeFileSync(path.join(dir, 'thesis.tex'), 'mine');
    expect(await failure(openStore(dir))).toMatchObject({ code: 'CAIRN_NOT_A_STORE', message: expect.stringContaining('thesis.tex') });
    expect(everythingIn(dir)).toEqual(['thesis.tex']);
  });

  test('refuses a file, what lies below a file, and a link to nowhere', async () => {
    const dir = tempDir();
    const file = path.join(dir, 'file');
    fs.writeFileSync(file, 'mine');
    fs.symlinkSync(path.join(dir, 'gone', 'away'), path.join(dir, 'link'));
    for (const wrong of [file, path.join(file, 'store'), path.join(dir, 'link')])
      expect(await codeOf(openStore(wrong))).toBe('CAIRN_NOT_A_STORE');
    expect(fs.readFileSync(file, 'utf8')).toBe('mine');
  });

  test('refuses a newer format version, and leaves the store as it was', async () => {
    const dir = await closedStore();
    const format = path.join(dir, 'format');
    const line = fs.readFileSync(format, 'utf8');
    fs.writeFileSync(format, line.replace(/ 1 /, ' 2 '));
    const before = everythingIn(dir);
    expect(await openStore(dir).catch((error: unknown) => error)).toBeInstanceOf(StoreFormatError);
    expect(await failure(openStore(dir))).toMatchObject({ code: 'CAIRN_STORE_FORMAT' });
    expect(everythingIn(dir)).toEqual(before);
    fs.writeFileSync(format, line);
    expect(await (await volumeV(await opened(dir))).readFile('a', 'utf8')).toBe('kept');
  });

  test('refuses a store whose format file says something else', async () => {
    const dir = await closedStore();
    for (const text of ['', 'something else', 'cairn-store x y\n', '\0'.repeat(4096)]) {
      fs.writeFileSync(path.join(dir, 'format'), text);
      expect(await codeOf(openStore(dir))).toBe('CAIRN_NOT_A_STORE');
    }
  });

  test('goes on where the making of a store was cut short', async () => {
    const dir = tempDir();
    fs.mkdirSync(path.join(dir, 'packs', 'incoming'), { recursive: true });
    fs.mkdirSync(path.join(dir, 'refs'));
    await (await volumeV(await opened(dir))).commit();
  });

  test('refuses numbers of workers that make no sense', async () => {
    for (const workers of [0, -1, 1.5, 65, NaN]) expect(await codeOf(openTemporaryStore({ workers }))).toBe('CAIRN_INVALID_ARGUMENT');
  });

  test('keeps what it makes from other users: files 0600, folders 0700', async () => {
    const dir = await closedStore();
    for (const name of ['.', ...everythingIn(dir)]) {
      const stat = fs.statSync(path.join(dir, name));
      expect([name, (stat.mode & 0o777).toString(8)]).toEqual([name, stat.isDirectory() ? '700' : '600']);
    }
  });
});

describe('info', () => {
  test('tells the folder, an id that stays, and what was chosen', async () => {
    const dir = await closedStore();
    const first = await openStore(dir, { workers: 3, hash: 'portable' });
    const info = first.info();
    expect(info).toEqual({
      dir: fs.realpathSync(dir),
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      formatVersion: 1,
      readOnly: false,
      hash: 'portable',
      workers: 3,
    });
    await first.close();
    expect((await opened(dir)).info().id).toBe(info.id);
    expect((await temporaryStore()).info().id).not.toBe(info.id);
  });
});

describe('a store that is read only', () => {
  const changes: Record<string, (store: Store, volume: Volume) => Promise<unknown>> = {
    'volumes.create': (store) => store.volumes.create('w'),
    'volumes.fromName with createIfMissing': (store) => store.volumes.fromName('w', { createIfMissing: true }),
    'volumes.ephemeral': (store) => store.volumes.ephemeral(),
    'volumes.rename': (store) => store.volumes.rename('v', 'w'),
    'volumes.fork': (store) => store.volumes.fork('v', 'w'),
    'volumes.delete': (store) => store.volumes.delete('v'),
    ...volumeChanges(),
  };

  function volumeChanges(): Record<string, (store: Store, volume: Volume) => Promise<unknown>> {
    return {
      writeFile: (_, volume) => volume.writeFile('b', 'x'),
      appendFile: (_, volume) => volume.appendFile('a', 'x'),
      'open r+': (_, volume) => volume.open('a', 'r+'),
      'open w': (_, volume) => volume.open('b', 'w'),
      mkdir: (_, volume) => volume.mkdir('d'),
      symlink: (_, volume) => volume.symlink('a', 'l'),
      rename: (_, volume) => volume.rename('a', 'b'),
      copy: (_, volume) => volume.copy('a', 'b'),
      remove: (_, volume) => volume.remove('a'),
      commit: (_, volume) => volume.commit({ message: 'm' }),
      batchUpload: (_, volume) => volume.batchUpload((batch) => batch.putFile({ data: 'x' }, 'b')),
      tag: (_, volume) => volume.tag('t'),
      untag: (_, volume) => volume.untag('t'),
      rollback: (_, volume) => volume.rollback('HEAD'),
    };
  }

  test('refuses every change and allows every read, while others of the process may write', async () => {
    const dir = await closedStore();
    const reader = await opened(dir, { readOnly: true });
    const writer = await opened(dir);
    const volume = await reader.volumes.fromName('v');
    expect([reader.info().readOnly, writer.info().readOnly]).toEqual([true, false]);
    for (const [name, change] of Object.entries(changes))
      expect([name, await codeOf(change(reader, volume))]).toEqual([name, 'CAIRN_READ_ONLY']);
    expect(await volume.readFile('a', 'utf8')).toBe('kept');
    expect(await reader.verify({ readData: true })).toMatchObject({ ok: true });

    const other = await volumeV(writer);
    await other.writeFile('a', 'new');
    await other.commit();
    expect(await volume.readFile('a', 'utf8')).toBe('kept');
    await volume.reload();
    expect(await volume.readFile('a', 'utf8')).toBe('new');
  });

  test('a read-only handle of a store that is not refuses every change of the volume', async () => {
    const store = await temporaryStore();
    await (await volumeV(store)).writeFile('a', 'x');
    await (await volumeV(store)).commit();
    const volume = await store.volumes.fromName('v', { readOnly: true });
    for (const [name, change] of Object.entries(volumeChanges()))
      expect([name, await codeOf(change(store, volume))]).toEqual([name, 'CAIRN_READ_ONLY']);
  });

  test.skipIf(!canMount())('a store on a disk that cannot be written opens, reads, and refuses changes', async () => {
    const dir = await closedStore();
    const program = `
      import { openStore } from '@cairn/core';
      const store = await openStore(${JSON.stringify(dir)});
      const volume = await store.volumes.fromName('v');
      const refused = await volume.writeFile('b', 'x').catch((error) => error.code);
      console.log(store.info().readOnly, await volume.readFile('a', 'utf8'), refused, (await store.verify({ readData: true })).ok);
      await store.close();`;
    const prefix = ['unshare', '-m', 'sh', '-c', `mount --bind ${dir} ${dir} && mount -o remount,ro,bind ${dir} && exec "$@"`, 'sh'];
    expect(await runNode(program, { prefix })).toEqual({ code: 0, out: 'true kept CAIRN_READ_ONLY true\n', err: '' });
  });

  /** Root passes over modes, so only a mount of the child's own makes a folder unwritable for certain. */
  function canMount(): boolean {
    try {
      execFileSync('unshare', ['-m', 'sh', '-c', 'mount --bind /tmp /tmp'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  }
});

describe('one engine per folder and process', () => {
  test('all stores on one real path share it, by whatever name, until the last is closed', async () => {
    const dir = await closedStore();
    const link = path.join(tempDir(), 'link');
    fs.symlinkSync(dir, link);
    const first = await opened(dir, { workers: 1 });
    const second = await opened(path.join(link, '..', 'link'), { workers: 3 });
    expect(second.info()).toEqual(first.info());
    const volume = await volumeV(second);
    await first.close();
    await volume.writeFile('a', noise(5 << 20));
    await volume.commit();
    expectSameBytes(await volume.readFile('a'), noise(5 << 20));
    expect(await codeOf(() => first.info())).toBe('CAIRN_CLOSED');
    await second.close();
    expect((await opened(dir, { workers: 2 })).info().workers).toBe(2);
  });

  test('two stores on two folders have nothing in common', async () => {
    const [a, b] = [await temporaryStore(), await temporaryStore()];
    await a.volumes.create('only-in-a');
    expect(await b.volumes.list()).toEqual([]);
  });

  test('a second copy of the package in the process shares it, and knows its errors', async () => {
    const install = path.join(tempDir(), 'second');
    const core = path.join(import.meta.dirname, '..', '..', 'packages', 'core');
    fs.cpSync(path.join(core, 'dist'), path.join(install, 'dist'), { recursive: true });
    fs.copyFileSync(path.join(core, 'package.json'), path.join(install, 'package.json'));
    fs.symlinkSync(path.join(core, 'node_modules'), path.join(install, 'node_modules'));
    const program = `
      import * as first from '@cairn/core';
      const second = await import(${JSON.stringify(path.join(install, 'dist', 'index.js'))});
      if (first.openStore === second.openStore) throw new Error('one copy only');
      const dir = ${JSON.stringify(await closedStore())};
      const a = await first.openStore(dir, { workers: 1 });
      const b = await second.openStore(dir, { workers: 2 });
      const volume = await b.volumes.fromName('v');
      const error = await volume.readFile('missing').catch((reason) => reason);
      console.log(b.info().workers, await volume.readFile('a', 'utf8'), first.isCairnError(error, 'ENOENT'), second.isCairnError(error, 'ENOENT'));
      await a.close();
      await b.close();`;
    expect(await runNode(program)).toEqual({ code: 0, out: '1 kept true true\n', err: '' });
  });

  test('opening again right after closing waits for the engine to be gone', async () => {
    const dir = await closedStore();
    for (let round = 0; round < 5; round++) {
      const store = await openStore(dir);
      const volume = await volumeV(store);
      await volume.writeFile('round', String(round));
      await volume.commit();
      void store.close();
    }
    expect(await (await volumeV(await opened(dir))).readFile('round', 'utf8')).toBe('4');
  });

  test('a failed opening leaves nothing that hinders the next', async () => {
    const dir = path.join(tempDir(), 'store');
    expect(await Promise.all([codeOf(openStore(dir, { create: false })), codeOf(openStore(dir, { create: false }))])).toEqual([
      'CAIRN_STORE_NOT_FOUND',
      'CAIRN_STORE_NOT_FOUND',
    ]);
    await opened(dir);
  });
});

describe('closing', () => {
  test('is idempotent, also at the same time, and by asyncDispose', async () => {
    const store = await openTemporaryStore();
    const { dir } = store.info();
    await Promise.all([store.close(), store.close()]);
    await store.close();
    await store[Symbol.asyncDispose]();
    expect(fs.existsSync(dir)).toBe(false);
  });

  test('waits for what is under way: a commit that was not awaited is there afterwards', async () => {
    const dir = await closedStore();
    const store = await openStore(dir);
    const volume = await volumeV(store);
    await volume.writeFile('big', noise(6 << 20));
    const committed = volume.commit();
    await store.close();
    await committed;
    expectSameBytes(await (await volumeV(await opened(dir))).readFile('big'), noise(6 << 20));
  });

  test('afterwards every call of the store, its volumes, snapshots and files fails with ClosedError, and closing them does not', async () => {
    const store = await openTemporaryStore();
    const volume = await volumeV(store);
    await volume.writeFile('d/a', noise(300_000));
    await volume.commit();
    const [snapshot, ephemeral, reading, writing] = [
      await volume.snapshot(),
      await store.volumes.ephemeral(),
      await volume.open('d/a'),
      await volume.open('d/a', 'r+'),
    ];
    await store.close();
    const late: Record<string, () => unknown> = {
      info: () => store.info(),
      usage: () => store.usage(),
      verify: () => store.verify(),
      list: () => store.volumes.list(),
      fromName: () => store.volumes.fromName('v'),
      create: () => store.volumes.create('w'),
      volumeInfo: () => store.volumes.info('v'),
      dirty: () => volume.dirty,
      commit: () => volume.commit(),
      reload: () => volume.reload(),
      batchUpload: () => volume.batchUpload(() => Promise.resolve()),
      history: () => collect(volume.history()),
      diff: () => collect(volume.diff('HEAD')),
      tags: () => volume.tags(),
      prune: () => volume.prune({ keepLast: 1 }),
      watch: () => collect(volume.watch()),
      snapshot: () => volume.snapshot(),
      writeFile: () => volume.writeFile('b', 'x'),
      'file.read': () => reading.read(new Uint8Array(1)),
      'file.write': () => writing.write(new Uint8Array(1)),
    };
    for (const view of [volume, snapshot, ephemeral]) {
      Object.assign(late, {
        listdir: () => view.listdir(''),
        stat: () => view.stat('d/a'),
        exists: () => view.exists('d/a'),
        readFile: () => view.readFile('d/a'),
        readInto: () => view.readInto({ path: 'd/a', target: new Uint8Array(1) }),
        createReadStream: () => collect(view.createReadStream('d/a')),
        chunks: () => collect(view.chunks('d/a')),
        tensors: () => view.tensors('d/a'),
        copyToLocal: () => view.copyToLocal('', '/nowhere'),
      });
      for (const [name, call] of Object.entries(late)) expect([name, await codeOf(call)]).toEqual([name, 'CAIRN_CLOSED']);
    }
    expect(await volume.commit().catch((error: unknown) => error)).toBeInstanceOf(ClosedError);
    await Promise.all([volume.close(), snapshot.close(), ephemeral.close()]);
  });

  test('ends what is read bit by bit, at its next step', async () => {
    const store = await openTemporaryStore();
    const volume = await volumeV(store);
    await volume.writeFile('a', noise(20 << 20));
    await volume.writeFile('b', 'x');
    await volume.commit();
    const underWay = [volume.iterdir(''), volume.history(), volume.chunks('a'), volume.createReadStream('a')].map(
      (items: AsyncIterable<unknown>) => items[Symbol.asyncIterator](),
    );
    for (const items of underWay) expect((await items.next()).done).toBe(false);
    await store.close();
    for (const items of underWay) {
      expect(
        await codeOf(async () => {
          while ((await items.next()).done !== true);
        }),
      ).toBe('CAIRN_CLOSED');
    }
  });

  test('a closed handle fails with ClosedError, and changes nothing for the others', async () => {
    const store = await temporaryStore();
    const volume = await volumeV(store);
    await volume.writeFile('a', 'x');
    await volume.commit();
    const snapshot = await volume.snapshot();
    await volume.close();
    await volume.close();
    for (const call of [
      () => volume.readFile('a'),
      () => volume.listdir(''),
      () => volume.writeFile('a', 'y'),
      () => volume.commit(),
      () => volume.snapshot(),
    ]) {
      expect(await failure(call)).toMatchObject({ code: 'CAIRN_CLOSED', message: 'this volume is closed' });
    }
    expect(await snapshot.readFile('a', 'utf8')).toBe('x');
    await snapshot[Symbol.asyncDispose]();
    expect(await failure(() => snapshot.readFile('a'))).toMatchObject({ code: 'CAIRN_CLOSED', message: 'this snapshot is closed' });
    expect(await (await volumeV(store)).readFile('a', 'utf8')).toBe('x');
  });
});

describe('in the process of its user', () => {
  const program = (dir: string, end: string): string => `
    import { openStore } from '@cairn/core';
    const before = process.eventNames();
    const store = await openStore(${JSON.stringify(dir)}, { workers: 2 });
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    await volume.writeFile('big', new Uint8Array(9 << 20).map((_, i) => (i * 2654435761) >>> 24));
    await volume.commit();
    await volume.readFile('big');
    if (process.eventNames().some((name) => !before.includes(name) && /^SIG/.test(String(name)))) throw new Error('a signal handler');
    ${end}`;

  test('an idle open store lets it exit by itself, and says nothing on its own', async () => {
    const dir = path.join(tempDir(), 'store');
    expect(await runNode(program(dir, ''))).toEqual({ code: 0, out: '', err: '' });
    expect((await (await volumeV(await opened(dir))).stat('big')).size).toBe(9 << 20);
  });

  test('closing comes to its end when nothing else keeps the process alive', async () => {
    const dir = path.join(tempDir(), 'store');
    expect(await runNode(program(dir, `await store.close(); process.stdout.write('closed')`))).toEqual({ code: 0, out: 'closed', err: '' });
  });

  test('require() gives the package to CommonJS, with its errors', async () => {
    const result = await runNode(
      `const { openTemporaryStore, isCairnError } = require('@cairn/core');
       (async () => {
         const store = await openTemporaryStore();
         const volume = await store.volumes.fromName('v', { createIfMissing: true });
         await volume.writeFile('a', new Uint8Array(5 << 20));
         await volume.commit();
         const error = await volume.readFile('b').catch((reason) => reason);
         console.log((await volume.readFile('a')).length, isCairnError(error, 'ENOENT'));
         await store.close();
       })();`,
      { module: false },
    );
    expect(result).toMatchObject({ code: 0, out: `${5 << 20} true\n` });
  });
});

describe('options', () => {
  test('clock gives the times of snapshots and changes', async () => {
    const store = await temporaryStore({ clock: () => new Date('2001-02-03T04:05:06.789Z') });
    const volume = await volumeV(store);
    await volume.writeFile('a', 'x');
    const { snapshot } = await volume.commit();
    expect(snapshot.createdAt.toISOString()).toBe('2001-02-03T04:05:06.789Z');
    expect((await volume.stat('a')).mtimeMs).toBe(Date.parse('2001-02-03T04:05:06.789Z'));
    expect((await store.volumes.info('v')).createdAt.toISOString()).toBe('2001-02-03T04:05:06.789Z');
  });

  test('maxBytes fails the commit that would go over it, and everything stays as it was', async () => {
    const store = await temporaryStore({ maxBytes: 3 << 20 });
    const volume = await volumeV(store);
    await volume.writeFile('a', noise(1 << 20));
    const { snapshot } = await volume.commit();
    for (const size of [3 << 20, 9 << 20]) {
      const error: unknown = await volume
        .writeFile('b', noise(size, 1))
        .then(() => volume.commit())
        .catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(CairnError);
      expect(isCairnError(error, 'CAIRN_STORE_FULL')).toBe(true);
      await volume.reload({ discard: true });
    }
    expect((await store.volumes.info('v')).head).toBe(snapshot.id);
    await volume.writeFile('c', 'still room for little');
    await volume.commit();
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
  });

  test('a store that is full by maxBytes takes commits again once gc has freed what was deleted', async () => {
    const store = await temporaryStore({ maxBytes: 3 << 20 });
    await store.volumes.create('old');
    await using old = await store.volumes.fromName('old');
    await old.writeFile('a', noise(2 << 20));
    await old.commit();
    const volume = await volumeV(store);
    const put = async (): Promise<unknown> => {
      await volume.writeFile('b', noise(2 << 20, 1));
      return volume.commit();
    };
    await expect(put()).rejects.toSatisfy((error) => isCairnError(error, 'CAIRN_STORE_FULL'));
    await volume.reload({ discard: true });
    await store.volumes.delete('old');
    await old.close();
    expect((await store.gc()).freed).toBeGreaterThan(2 << 20);
    await put();
    expect(Buffer.compare(await volume.readFile('b'), noise(2 << 20, 1))).toBe(0);
  });

  test('compression and hash change what is stored, and not what is identified', async () => {
    const ids = new Set<string | undefined>();
    for (const compression of ['none', 'fast', 'max'] as const) {
      const volume = await volumeV(await temporaryStore({ compression, hash: compression === 'max' ? 'portable' : 'auto' }));
      await volume.writeFile('a', 'abc'.repeat(100_000));
      await volume.commit();
      ids.add((await volume.stat('a')).contentId);
      expect((await collect(volume.chunks('a'))).every((chunk) => (chunk.encoding === 'raw') === (compression === 'none'))).toBe(true);
    }
    expect(ids.size).toBe(1);
  });
});
