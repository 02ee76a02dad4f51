import type { Bytes, ReadView, Volume } from '@cairn/core';
import { describe, expect, test } from 'vitest';
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

async function volumeWith(files: Record<string, string>): Promise<Volume> {
  const volume = await newVolume();
  await writeAll(volume, files);
  return volume;
}

describe('writing', () => {
  const data = noise(100_000, 3);
  const inside = new Uint8Array(100_016);
  inside.set(data, 8);
  const shared = new SharedArrayBuffer(data.length);
  new Uint8Array(shared).set(data);
  async function* pieces(): AsyncGenerator<Uint8Array> {
    const reused = new Uint8Array(777);
    for (let at = 0; at < data.length; at += reused.length) {
      reused.set(data.subarray(at, at + reused.length));
      yield await Promise.resolve(reused.subarray(0, Math.min(reused.length, data.length - at)));
    }
  }
  const kinds: [string, () => Bytes][] = [
    ['a Uint8Array', () => data],
    ['a view within a larger buffer', () => inside.subarray(8, 8 + data.length)],
    ['a Buffer', () => Buffer.from(data)],
    ['a DataView', () => new DataView(inside.buffer, 8, data.length)],
    ['a Uint16Array', () => new Uint16Array(inside.buffer, 8, data.length / 2)],
    ['an ArrayBuffer', () => data.slice().buffer],
    ['a SharedArrayBuffer', () => shared],
    ['a view on shared memory', () => new Uint8Array(shared)],
    ['a Blob', () => new Blob([data])],
    ['an async iterable that uses its buffer again', pieces],
    ['a ReadableStream', () => new Blob([data]).stream()],
  ];

  test.each(kinds)('%s is stored as its bytes, whether by writeFile, appendFile or a batch', async (_kind, give) => {
    const volume = await newVolume();
    await volume.writeFile('written', give());
    await volume.appendFile('appended', give());
    await volume.batchUpload((batch) => batch.putFile({ data: give() }, 'put'));
    for (const path of ['written', 'appended', 'put']) expectSameBytes(await volume.readFile(path), data);
  });

  test('a string is stored as UTF-8, an empty one as an empty file', async () => {
    const volume = await volumeWith({ text: 'é\u{1f9ca}\n', empty: '' });
    expectSameBytes(await volume.readFile('text'), Buffer.from('é\u{1f9ca}\n'));
    expect(await volume.readFile('text', 'utf8')).toBe('é\u{1f9ca}\n');
    expect(await volume.stat('empty')).toMatchObject({ type: 'file', size: 0 });
  });

  test('the caller may change its buffer as soon as the call is done', async () => {
    const volume = await newVolume();
    for (const size of [1000, 5 << 20]) {
      const buffer = noise(size, 1);
      await volume.writeFile('a', buffer);
      const file = await volume.open('b', 'w');
      await file.write(buffer);
      buffer.fill(0);
      await file.close();
      await volume.commit();
      for (const path of ['a', 'b']) expectSameBytes(await volume.readFile(path), noise(size, 1));
    }
  });

  test('what is no data is refused', async () => {
    const volume = await newVolume();
    for (const wrong of [undefined, null, 5, {}, [1, 2]])
      expect(await codeOf(volume.writeFile('a', wrong as never))).toBe('CAIRN_INVALID_ARGUMENT');
    async function* numbers(): AsyncGenerator<Uint8Array> {
      yield await Promise.resolve(7 as never);
    }
    expect(await codeOf(volume.writeFile('a', numbers()))).toBe('CAIRN_INVALID_ARGUMENT');
    expect(await volume.exists('a')).toBe(false);
  });

  test.each([10, 5 << 20])('a stream that fails after %d bytes leaves what was there, and gets its error back', async (size) => {
    const volume = await volumeWith({ a: 'kept' });
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield noise(size);
      throw await Promise.resolve(new Error('mine'));
    }
    await expect(volume.writeFile('a', failing())).rejects.toThrow('mine');
    await expect(volume.appendFile('a', failing())).rejects.toThrow('mine');
    await expect(volume.writeFile('new/b', failing())).rejects.toThrow('mine');
    expect(await contents(volume)).toEqual({ a: 'kept' });
  });

  test('makes the folders above; a file or symlink in their way is ENOTDIR, a folder in its own EISDIR', async () => {
    const volume = await volumeWith({ 'a/b/c': 'x', file: 'x' });
    await volume.symlink('a', 'link');
    for (const path of ['a', 'a/b', '/']) expect(await codeOf(volume.writeFile(path, 'y'))).toBe('EISDIR');
    for (const path of ['file/x', 'link/x', 'a/b/c/d/e']) expect(await codeOf(volume.writeFile(path, 'y'))).toBe('ENOTDIR');
    expect(await contents(volume)).toEqual({ 'a/b/c': 'x', file: 'x', link: '-> a' });
  });

  test('executable is kept by later writes until it is told otherwise', async () => {
    const volume = await newVolume();
    const isExecutable = async (): Promise<boolean> => (await volume.stat('run')).executable;
    await volume.writeFile('run', 'a', { executable: true });
    await volume.writeFile('run', 'b');
    await volume.appendFile('run', 'c');
    await volume.commit();
    expect(await isExecutable()).toBe(true);
    await volume.writeFile('run', 'bc', { executable: false });
    expect([await isExecutable(), volume.dirty]).toEqual([false, true]);
  });
});

describe('an open file', () => {
  test('w makes or empties; r and r+ need a file; reads and writes move a cursor, those with a position do not', async () => {
    const volume = await volumeWith({ a: 'old old old' });
    for (const flags of ['r', 'r+'] as const) expect(await codeOf(volume.open('missing', flags))).toBe('ENOENT');
    const file = await volume.open('a', 'w');
    expect(await volume.stat('a')).toMatchObject({ size: 0 });
    await file.write(Buffer.from('hello '));
    await file.write(Buffer.from('world'));
    await file.write(Buffer.from('J'), { position: 0 });
    await file.write(Buffer.from('!'));
    const buffer = new Uint8Array(5);
    expect(await file.read(buffer, { position: 6 })).toEqual({ bytesRead: 5 });
    expect(Buffer.from(buffer).toString()).toBe('world');
    expect(await file.read(buffer)).toEqual({ bytesRead: 0 });
    await file[Symbol.asyncDispose]();
    expect(await volume.readFile('a', 'utf8')).toBe('Jello world!');
    for (const call of [() => file.read(buffer), () => file.write(buffer), () => file.truncate()])
      expect(await codeOf(call)).toBe('CAIRN_CLOSED');
    await file.close();
  });

  test('r refuses writes, and folders and symlinks are no files', async () => {
    const volume = await volumeWith({ 'd/a': 'x' });
    await volume.symlink('d/a', 'link');
    const file = await volume.open('d/a');
    for (const call of [() => file.write(new Uint8Array(1)), () => file.truncate(0)]) expect(await codeOf(call)).toBe('CAIRN_READ_ONLY');
    for (const flags of ['r', 'r+', 'w'] as const) {
      expect(await codeOf(volume.open('d', flags))).toBe('EISDIR');
      expect(await codeOf(volume.open('link', flags))).toBe('EINVAL');
    }
    for (const position of [-1, 0.5, NaN, 2 ** 60])
      expect(await codeOf(file.read(new Uint8Array(1), { position }))).toBe('CAIRN_INVALID_ARGUMENT');
  });

  test('cuts and extends with zeros; what was cut off does not come back', async () => {
    const volume = await newVolume();
    await volume.writeFile('a', Buffer.alloc(200_000, 7));
    const file = await volume.open('a', 'r+');
    await file.truncate(100);
    await file.truncate(150_000);
    await file.write(Buffer.from('x'), { position: 300_000 });
    await file.truncate(250_000);
    await file.truncate(400_000);
    await file.close();
    expectSameBytes(await volume.readFile('a'), Buffer.concat([Buffer.alloc(100, 7), Buffer.alloc(399_900)]));
  });

  test('writes of several that have it open meet in one file, and are seen at once', async () => {
    const volume = await volumeWith({ a: '..........' });
    const [one, two] = [await volume.open('a', 'r+'), await volume.open('a', 'r+')];
    await one.write(Buffer.from('11'), { position: 0 });
    await two.write(Buffer.from('22'), { position: 4 });
    const seen = new Uint8Array(10);
    await one.read(seen, { position: 0 });
    expect(Buffer.from(seen).toString()).toBe('11..22....');
    expect(await volume.readFile('a', 'utf8')).toBe('11..22....');
    await volume.commit();
    await one.write(Buffer.from('33'), { position: 8 });
    await Promise.all([one.close(), two.close()]);
    expect(await volume.readFile('a', 'utf8')).toBe('11..22..33');
  });

  test('writes that are not awaited go one behind the other', async () => {
    const volume = await newVolume();
    const file = await volume.open('log', 'w');
    await Promise.all(Array.from({ length: 100 }, (_, i) => file.write(Buffer.from(`${i}\n`))));
    await file.close();
    expect(await volume.readFile('log', 'utf8')).toBe(Array.from({ length: 100 }, (_, i) => `${i}\n`).join(''));
  });

  test('is part of a commit without being closed', async () => {
    const { open, f } = await twoHandles();
    const file = await f.open('a', 'w');
    await file.write(Buffer.from('one'));
    expect(f.dirty).toBe(true);
    await f.commit();
    expect(await contents(await open())).toEqual({ a: 'one' });
    await file.write(Buffer.from(' two'));
    await f.commit();
    expect(await contents(await open())).toEqual({ a: 'one two' });
    await file.close();
    expect(f.dirty).toBe(false);
  });

  test('goes with its file when that is renamed, also onto its own name, or lies in a folder that is', async () => {
    const volume = await volumeWith({ 'd/a': 'old' });
    const file = await volume.open('d/a', 'r+');
    await volume.rename('d/a', 'd/a');
    await file.write(Buffer.from('1'), { position: 0 });
    await volume.rename('d/a', 'd/b');
    await file.write(Buffer.from('2'), { position: 1 });
    await volume.rename('d', 'e');
    await file.write(Buffer.from('3'), { position: 2 });
    await file.close();
    expect(await contents(volume)).toEqual({ 'e/b': '123' });
  });

  test('writes to what was written, copied or reloaded over its file', async () => {
    const { f, g } = await twoHandles({ a: 'old old', b: 'COPIED!' });
    const file = await f.open('a', 'r+');
    await f.writeFile('a', 'WRITTEN');
    await file.write(Buffer.from('1'), { position: 0 });
    expect(await f.readFile('a', 'utf8')).toBe('1RITTEN');
    await f.copy('b', 'a');
    await file.write(Buffer.from('2'), { position: 1 });
    expect(await f.readFile('a', 'utf8')).toBe('C2PIED!');
    await f.commit();
    await g.reload();
    await g.writeFile('a', 'RELOAD!');
    await g.commit();
    await f.reload();
    await file.write(Buffer.from('3'), { position: 2 });
    await file.close();
    expect(await f.readFile('a', 'utf8')).toBe('RE3OAD!');
  });

  test('goes on without a name when its file is removed, replaced by another kind, or discarded', async () => {
    const volume = await volumeWith({ removed: 'r', replaced: 'r' });
    await volume.commit();
    const size = 300_000;
    const files = await Promise.all([volume.open('removed', 'r+'), volume.open('replaced', 'r+'), volume.open('new', 'w')]);
    for (const [i, file] of files.entries()) await file.write(noise(size, i));
    await volume.remove('removed');
    await volume.remove('replaced');
    await volume.mkdir('replaced');
    await volume.reload({ discard: true });
    await volume.remove('removed');
    await volume.remove('replaced');
    await volume.commit();
    for (const [i, file] of files.entries()) {
      if (i === 2) {
        await file.write(Buffer.from('tail'), { position: size });
        const back = new Uint8Array(size + 4);
        expect(await file.read(back, { position: 0 })).toEqual({ bytesRead: size + 4 });
        expectSameBytes(back, Buffer.concat([noise(size, i), Buffer.from('tail')]));
      }
      await file.close();
    }
    expect(await contents(volume)).toEqual({});
    expect(volume.dirty).toBe(false);
  });
});

describe('modification times', () => {
  async function ticking(): Promise<{ volume: Volume; mtime: (path: string) => Promise<number> }> {
    let now = 1_000_000_000_000;
    const volume = await volumeV(await temporaryStore({ clock: () => new Date((now += 1000)) }));
    return { volume, mtime: async (path) => (await volume.stat(path)).mtimeMs };
  }

  test('a write of the same content keeps the stored one, and is no change', async () => {
    const { volume, mtime } = await ticking();
    await volume.writeFile('a', 'same');
    await volume.mkdir('d');
    await volume.symlink('a', 'l');
    await volume.commit();
    const before = await Promise.all(['a', 'd', 'l'].map(mtime));
    await volume.writeFile('a', 'same');
    await volume.mkdir('d');
    await volume.symlink('a', 'l');
    const file = await volume.open('a', 'r+');
    await file.write(Buffer.from('same'), { position: 0 });
    await file.close();
    await volume.appendFile('a', '');
    expect(await Promise.all(['a', 'd', 'l'].map(mtime))).toEqual(before);
    expect([volume.dirty, (await volume.commit()).changed]).toEqual([false, false]);
    await volume.writeFile('a', 'other');
    expect(await mtime('a')).toBeGreaterThan(before[0]!);
  });

  test('one alone is no change for a commit, a diff, or a conflict', async () => {
    const { volume, mtime } = await ticking();
    await volume.writeFile('d/a', 'same');
    await volume.mkdir('d/empty');
    await volume.commit();
    const stored = await Promise.all(['d', 'd/a', 'd/empty'].map(mtime));
    await volume.remove('d', { recursive: true });
    await volume.mkdir('d/empty');
    await volume.writeFile('d/a', 'other');
    await volume.writeFile('d/a', 'same');
    expect([volume.dirty, (await volume.commit()).changed]).toEqual([false, false]);
    expect(await collect(volume.diff('HEAD'))).toEqual([]);
    expect(await Promise.all(['d', 'd/a', 'd/empty'].map(mtime))).toEqual(stored);
  });

  test('a copy and a rename keep those of their source', async () => {
    const { volume, mtime } = await ticking();
    await volume.writeFile('a', 'x');
    const stored = await mtime('a');
    await volume.copy('a', 'copied');
    await volume.rename('a', 'renamed');
    expect([await mtime('copied'), await mtime('renamed')]).toEqual([stored, stored]);
  });
});

describe('copy', () => {
  test('within a volume: files, folders into folders, several sources, and over what is there', async () => {
    const volume = await volumeWith({ a: 'a', 'd/b': 'b', 'd/e/c': 'c', old: 'old' });
    await volume.mkdir('d/empty');
    await volume.symlink('d/b', 'link');
    await volume.copy('a', 'old');
    await volume.copy('link', 'link2');
    await volume.copy('d', 'copied', { recursive: true });
    await volume.copy('a', 'd');
    await volume.copy('a', 'x/y/');
    await volume.copy(['a', 'd/b'], 'both');
    expect(await contents(volume)).toEqual({
      a: 'a', old: 'a', link: '-> d/b', link2: '-> d/b', 'd/a': 'a', 'd/b': 'b', 'd/e/c': 'c', 'd/empty': '/',
      'copied/b': 'b', 'copied/e/c': 'c', 'copied/empty': '/', 'x/y/a': 'a', 'both/a': 'a', 'both/b': 'b',
    }); // prettier-ignore
    expect(await codeOf(volume.copy('d', 'z'))).toBe('EISDIR');
    expect(await codeOf(volume.copy('missing', 'z'))).toBe('ENOENT');
    expect(await codeOf(volume.copy('a', 'old/below'))).toBe('ENOTDIR');
  });

  test('a folder into itself is refused, but not an older version of it', async () => {
    const volume = await volumeWith({ 'd/a': '1' });
    await volume.commit();
    for (const [from, to] of [
      ['d', 'd'],
      ['d', 'd/e'],
      ['d', 'd/e/f'],
      ['', 'x'],
      ['', 'd'],
    ]) {
      expect([from, to, await codeOf(volume.copy(from!, to!, { recursive: true }))]).toEqual([from, to, 'EINVAL']);
    }
    const older = await volume.snapshot();
    await volume.copy('d', 'd/backup', { recursive: true, from: older });
    await volume.copy('', 'all', { recursive: true, from: older });
    expect(await contents(volume)).toEqual({ 'd/a': '1', 'd/backup/a': '1', 'all/d/a': '1' });
    await volume.remove('d', { recursive: true });
    await volume.copy('d', '/', { recursive: true, from: older });
    expect(await contents(volume)).toEqual({ 'd/a': '1', 'all/d/a': '1' });
  });

  test('one that fails half way leaves everything as it was', async () => {
    const volume = await volumeWith({ 'from/a': '1', 'from/b/c': '2', 'to/from/b': 'a file', 'to/from/z/a': 'a file below' });
    const before = await contents(volume);
    expect(await codeOf(volume.copy('from', 'to', { recursive: true }))).toBe('ENOTDIR');
    expect(await codeOf(volume.copy(['from/a', 'from'], 'to', { recursive: true }))).toBe('ENOTDIR');
    await volume.writeFile('from/z', 'x');
    await volume.remove('to/from/b');
    expect(await codeOf(volume.copy('from', 'to', { recursive: true }))).toBe('EISDIR');
    await volume.remove('from/z');
    await volume.writeFile('to/from/b', 'a file');
    expect(await contents(volume)).toEqual(before);
  });

  const big = noise(5 << 20, 9);
  const cases: [string, (source: Volume) => Promise<ReadView>][] = [
    ['another volume', (source) => Promise.resolve(source)],
    ['a snapshot', (source) => source.snapshot()],
  ];
  test.each(cases)('from %s stores no data', async (_name, view) => {
    const store = await temporaryStore();
    const source = await store.volumes.fromName('source', { createIfMissing: true });
    await source.writeFile('d/big', big);
    await source.writeFile('d/small', noise(100_000), { executable: true });
    await source.commit();
    const target = await volumeV(store);
    await target.copy('d', '/', { recursive: true, from: await view(source) });
    const { bytes, added } = await target.commit();
    expect([bytes.new, added, bytes.logical]).toEqual([0, 2, big.length + 100_000]);
    expect(bytes.stored).toBeLessThan(2000);
    expectSameBytes(await target.readFile('d/big'), big);
    expect(await target.stat('d/small')).toEqual(await source.stat('d/small'));
  });

  test('from a handle with uncommitted changes takes them, and does not commit them there', async () => {
    const store = await temporaryStore();
    const source = await store.volumes.fromName('source', { createIfMissing: true });
    await source.writeFile('small', 'staged');
    await source.writeFile('big', big);
    const file = await source.open('open', 'w');
    await file.write(Buffer.from('written'));
    const target = await volumeV(store);
    await target.copy(['small', 'big', 'open'], 'to', { from: source });
    expect((await target.commit()).bytes.new).toBe(0);
    await source.reload({ discard: true });
    await source.close();
    expect((await store.volumes.info('source')).generation).toBe(0);
    const reader = await volumeV(store);
    expect([await reader.readFile('to/small', 'utf8'), await reader.readFile('to/open', 'utf8')]).toEqual(['staged', 'written']);
    expectSameBytes(await reader.readFile('to/big'), big);
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
  });

  test('from another store reads and stores the bytes, of uncommitted files too', async () => {
    const source = await newVolume();
    await source.writeFile('d/big', big, { executable: true });
    await source.commit();
    await source.writeFile('d/staged', 'staged');
    await source.symlink('big', 'd/link');
    const store = await temporaryStore();
    const target = await volumeV(store);
    await target.copy('d', 'to', { recursive: true, from: source });
    const { bytes } = await target.commit();
    expect(bytes.new).toBe(big.length + 6);
    expectSameBytes(await target.readFile('to/big'), big);
    expect(await target.readFile('to/staged', 'utf8')).toBe('staged');
    expect(await target.stat('to/big')).toEqual({ ...(await source.stat('d/big')), path: 'to/big' });
    expect((await target.stat('to/link')).symlinkTarget).toBe('big');
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
  });

  test('from something that is no view is refused', async () => {
    const volume = await volumeWith({ a: 'x' });
    expect(await codeOf(volume.copy('a', 'b', { from: {} as never }))).toBe('CAIRN_INVALID_ARGUMENT');
  });
});

describe('rename and remove', () => {
  test('rename moves files, links and folders, makes the folders above, and replaces its own kind', async () => {
    const volume = await volumeWith({ a: '1', b: '2', 'd/e/f': '3' });
    await volume.mkdir('empty');
    await volume.symlink('x', 'link');
    await volume.rename('a', 'b');
    await volume.rename('d', 'empty');
    await volume.rename('link', 'new/place/link');
    await volume.rename('empty/e', 'g');
    await volume.rename('b', 'b');
    expect(await contents(volume)).toEqual({ b: '1', empty: '/', 'g/f': '3', 'new/place/link': '-> x' });
  });

  test.each([
    ['missing', 'x', 'ENOENT'],
    ['d', 'd/below', 'EINVAL'],
    ['', 'x', 'EINVAL'],
    ['a', '', 'EEXIST'],
    ['a', 'd', 'EISDIR'],
    ['d', 'a', 'ENOTDIR'],
    ['d', 'full', 'ENOTEMPTY'],
    ['a', 'b/c', 'ENOTDIR'],
    ['a', 'new/../x', 'CAIRN_INVALID_PATH'],
  ])('rename from %j to %j is %s, and changes nothing', async (from, to, code) => {
    const files = { a: '1', b: '2', 'd/x': '3', 'full/x': '4' };
    const volume = await volumeWith(files);
    expect(await codeOf(volume.rename(from, to))).toBe(code);
    expect(await contents(volume)).toEqual(files);
  });

  test('remove takes files, links and empty folders, and full ones when asked', async () => {
    const volume = await volumeWith({ a: '1', 'd/e/f': '2', 'd/g': '3' });
    await volume.mkdir('empty');
    await volume.symlink('d', 'link');
    expect(await codeOf(volume.remove('missing'))).toBe('ENOENT');
    expect(await codeOf(volume.remove('d'))).toBe('ENOTEMPTY');
    expect(await codeOf(volume.remove('a/b'))).toBe('ENOENT');
    await volume.remove('missing', { allowMissing: true });
    for (const path of ['a', 'empty', 'link']) await volume.remove(path);
    expect(await contents(volume)).toEqual({ 'd/e/f': '2', 'd/g': '3' });
    await volume.remove('d', { recursive: true });
    expect(await volume.listdir('', { recursive: true })).toEqual([]);
    expect(volume.dirty).toBe(false);
  });

  test('the root is emptied when asked, and never removed', async () => {
    const volume = await volumeWith({ a: '1', 'd/e': '2' });
    expect(await codeOf(volume.remove('/'))).toBe('ENOTEMPTY');
    await volume.remove('/', { recursive: true });
    expect([await volume.listdir(''), await volume.exists('/'), (await volume.stat('/')).type]).toEqual([[], true, 'directory']);
  });
});

describe('entries', () => {
  test('folders list by name in byte order, with depth folder by folder, and never through links', async () => {
    const volume = await volumeWith({ b: '', 'a/z': '', 'a/b/c': '', 'a-b': '', é: '', B: '', '\u{1f9ca}': '', '\uffee': '' });
    await volume.symlink('a', 'link');
    const names = async (path: string, recursive = false): Promise<string[]> =>
      (await volume.listdir(path, { recursive })).map((entry) => entry.path);
    expect(await names('/')).toEqual(['B', 'a', 'a-b', 'b', 'link', 'é', '\uffee', '\u{1f9ca}']);
    expect(await names('a/')).toEqual(['a/b', 'a/z']);
    expect((await names('', true)).filter((path) => path.startsWith('a/'))).toEqual(['a/b', 'a/z', 'a/b/c']);
    expect(await codeOf(volume.listdir('b'))).toBe('ENOTDIR');
    expect(await codeOf(volume.listdir('link'))).toBe('ENOTDIR');
    expect(await codeOf(volume.listdir('missing'))).toBe('ENOENT');
  });

  test('stat tells all about a file, folder or link, and follows none', async () => {
    const volume = await volumeV(await temporaryStore({ clock: () => new Date(5) }));
    await volume.writeFile('d/a', 'abc', { executable: true });
    await volume.symlink('../anywhere/\u{1f9ca}', 'd/link');
    expect(await volume.stat('/d/a')).toEqual({
      path: 'd/a',
      type: 'file',
      size: 3,
      mtimeMs: 5,
      executable: true,
      contentId: expect.any(String),
    });
    expect(await volume.stat('d/')).toEqual({ path: 'd', type: 'directory', size: 0, mtimeMs: 5, executable: false });
    expect(await volume.stat('d/link')).toEqual({
      path: 'd/link',
      type: 'symlink',
      size: 0,
      mtimeMs: 5,
      executable: false,
      symlinkTarget: '../anywhere/\u{1f9ca}',
    });
    expect(await failure(volume.stat('d/missing'))).toMatchObject({ code: 'ENOENT', path: 'd/missing' });
    expect([await volume.exists('d/a'), await volume.exists('d/a/b'), await volume.exists('d/link')]).toEqual([true, false, true]);
  });

  test('links are read as links only, and need a target', async () => {
    const volume = await volumeWith({ a: 'x' });
    await volume.symlink('a', 'link');
    for (const call of [
      () => volume.readFile('link'),
      () => collect(volume.createReadStream('link')),
      () => volume.appendFile('link', 'y'),
      () => collect(volume.chunks('link')),
    ]) {
      expect(await codeOf(call)).toBe('EINVAL');
    }
    for (const target of ['', 'a\0b']) expect(await codeOf(volume.symlink(target, 'other'))).toBe('EINVAL');
    await volume.writeFile('link', 'a file now');
    expect(await contents(volume)).toEqual({ a: 'x', link: 'a file now' });
  });
});
