import { InvalidNameError, InvalidPathError, type Volume } from '@cairn/core';
import { describe, expect, test } from 'vitest';
import { codeOf, collect, contents, temporaryStore, twoHandles } from './support.js';

/** Paths that would lead elsewhere, mean two things, or could not be written to a disk. */
const HOSTILE_PATHS = [
  '..', '../a', '/..', '/../a', 'a/..', 'a/../b', 'a/../../b', 'a/b/..', '../../../../etc/passwd', '/../../etc/shadow', './..', 'a/./../b',
  '.', './a', 'a/.', 'a/./b', '/./a', '/.', './', '../', 'a/../', 'a/./',
  '//', '///', '//a', 'a//b', 'a//', '/a//', 'a/b//c', '//etc/passwd', '//server/share/x',
  'a\0', '\0', 'a\0b', 'a/\0', 'a/b\0.safetensors', '\0/../a', 'a\0/..',
  'a\\b', '\\', '\\\\server\\share', '..\\a', 'a\\..\\b', 'C:\\Windows\\x', 'a/b\\', '\\a', 'a\\/b', '/\\/a', 'model\\..\\..\\x',
  '\ud800', 'a\udc00b', 'a/\udfff', '\ud83e', 'a\ud800/b',
  'n'.repeat(256), `d/${'n'.repeat(256)}`, `${'n'.repeat(256)}/a`, 'é'.repeat(128), `${'a/'.repeat(2048)}a`, '\u{1f9ca}'.repeat(64),
  `${'abcdefgh/'.repeat(500)}x`, `/${'d/'.repeat(3000)}`,
]; // prettier-ignore

/** What looks odd and is a name like any other on Linux. */
const ODD_PATHS = [
  ' ', '  leading', 'trailing ', '...', '....', '..a', 'a..', '.hidden', 'b/...', '-rf', '--help', '~', '$HOME', '%2e%2e', '%00', '*', '?', 'a:b', 'C:', 'CON', 'nul.txt', 'COM1',
  '"', "'", '`id`', ';', '|', '&', '<a>', '\n', 'a\nb', '\t', '\r', '\x1b[31m', '\x7f', '\u200b', '\u202e', '\ufeff', 'e\u0301', 'é', 'A', 'a', '\u{1f9ca}', 'HEAD', 'v@HEAD', 'v:/x',
  '__proto__', 'constructor', 'hasOwnProperty', 'n'.repeat(255), `${'d/'.repeat(2047)}x`, 'é'.repeat(127), '.cairn', 'format', 'packs/incoming',
]; // prettier-ignore

describe('paths', () => {
  const calls: Record<string, (volume: Volume, path: string) => Promise<unknown>> = {
    writeFile: (volume, path) => volume.writeFile(path, 'x'),
    appendFile: (volume, path) => volume.appendFile(path, 'x'),
    'open r': (volume, path) => volume.open(path),
    'open w': (volume, path) => volume.open(path, 'w'),
    mkdir: (volume, path) => volume.mkdir(path),
    symlink: (volume, path) => volume.symlink('a', path),
    'rename from': (volume, path) => volume.rename(path, 'b'),
    'rename to': (volume, path) => volume.rename('a', path),
    'copy from': (volume, path) => volume.copy(path, 'b', { recursive: true }),
    'copy to': (volume, path) => volume.copy('a', path),
    remove: (volume, path) => volume.remove(path, { recursive: true, allowMissing: true }),
    listdir: (volume, path) => volume.listdir(path),
    stat: (volume, path) => volume.stat(path),
    exists: (volume, path) => volume.exists(path),
    readFile: (volume, path) => volume.readFile(path),
    readInto: (volume, path) => volume.readInto({ path, target: new Uint8Array(1) }),
    createReadStream: (volume, path) => collect(volume.createReadStream(path)),
    copyToLocal: (volume, path) => volume.copyToLocal(path, '/nowhere/at/all'),
    tensors: (volume, path) => volume.tensors(path),
    chunks: (volume, path) => collect(volume.chunks(path)),
    history: (volume, path) => collect(volume.history({ path })),
    'putFile to': (volume, path) => volume.batchUpload((batch) => batch.putFile({ data: 'x' }, path)),
    'putDirectory to': (volume, path) => volume.batchUpload((batch) => batch.putDirectory('/nowhere/at/all', path)),
  };
  // The one form of the root that is no escape: every call knows it.
  const hostile = HOSTILE_PATHS.filter((path) => path !== '.');

  test(`that are hostile (${hostile.length} of them) are refused by every call, and nothing changes`, async () => {
    const { f } = await twoHandles({ a: 'kept' });
    for (const [name, call] of Object.entries(calls)) {
      for (const path of hostile)
        expect([name, path.slice(0, 40), await codeOf(call(f, path))]).toEqual([name, path.slice(0, 40), 'CAIRN_INVALID_PATH']);
    }
    for (const wrong of [undefined, null, 5, {}, ['a']]) expect(await codeOf(f.writeFile(wrong as never, 'x'))).toBe('CAIRN_INVALID_PATH');
    expect(await f.writeFile('a/../b', 'x').catch((error: unknown) => error)).toBeInstanceOf(InvalidPathError);
    expect(await contents(f)).toEqual({ a: 'kept' });
    expect(f.dirty).toBe(false);
  });

  test(`that only look odd (${ODD_PATHS.length} of them) are names like any other`, async () => {
    const { open, f } = await twoHandles();
    for (const path of ODD_PATHS) await f.writeFile(path.startsWith('d/') ? path : `in/${path}`, path.slice(0, 20));
    await f.commit();
    const g = await open();
    for (const path of ODD_PATHS) expect(await g.readFile(path.startsWith('d/') ? path : `in/${path}`, 'utf8')).toBe(path.slice(0, 20));
    expect(Object.keys(await contents(g))).toHaveLength(ODD_PATHS.length);
  });

  test('one leading or trailing slash makes no difference', async () => {
    const { f } = await twoHandles({ 'd/a': 'x' });
    for (const path of ['d/a', '/d/a', 'd/a/', '/d/a/']) expect(await f.readFile(path, 'utf8')).toBe('x');
    for (const path of ['', '/', '.']) expect((await f.listdir(path)).map((entry) => entry.path)).toEqual(['d']);
  });
});

const BAD_NAMES = [
  '', ' ', '.', '..', '.a', '-a', '-', '/', 'a/b', 'a\\b', 'a b', 'a\n', '\na', 'a\0', 'a\0b', 'é', 'a:b', 'a@b', 'a~1', 'a*', 'a?', 'a#b', 'a%20', 'a,b', 'a;b', "a'b", 'a"b',
  'a$b', 'a(b)', 'a[b]', 'a{b}', 'a|b', 'a<b', 'a>b', 'a=b', 'a+b', 'a!', 'a^', 'a`', '\u{1f9ca}', 'ａ', '٣', 'a\u200b', 'a'.repeat(65), '../../etc', 'C:', '~', '\ud800',
]; // prettier-ignore
const GOOD_NAMES = [
  'a',
  'A',
  '7',
  '_',
  '__proto__',
  'a.b',
  'a-b',
  'a_b',
  'a..b',
  'a.',
  'a-',
  'Llama-3.1-8B_instruct.v2',
  'n'.repeat(64),
  'HEAD',
  'constructor',
  '2026-01-31',
  'abcdef',
];

describe('names of volumes', () => {
  test(`that are no names (${BAD_NAMES.length} of them) are refused by every call`, async () => {
    const store = await temporaryStore();
    await store.volumes.create('v');
    const calls: Record<string, (name: string) => Promise<unknown>> = {
      create: (name) => store.volumes.create(name),
      fromName: (name) => store.volumes.fromName(name, { createIfMissing: true }),
      info: (name) => store.volumes.info(name),
      'rename from': (name) => store.volumes.rename(name, 'b'),
      'rename to': (name) => store.volumes.rename('v', name),
      'fork to': (name) => store.volumes.fork('v', name),
      delete: (name) => store.volumes.delete(name, { allowMissing: true }),
    };
    for (const [what, call] of Object.entries(calls)) {
      for (const name of BAD_NAMES) expect([what, name, await codeOf(call(name))]).toEqual([what, name, 'CAIRN_INVALID_NAME']);
    }
    for (const wrong of [undefined, null, 5, {}]) expect(await codeOf(store.volumes.create(wrong as never))).toBe('CAIRN_INVALID_NAME');
    expect(await store.volumes.create('a b').catch((error: unknown) => error)).toBeInstanceOf(InvalidNameError);
    expect((await store.volumes.list()).map((info) => info.name)).toEqual(['v']);
  });

  test('all others are taken as they are', async () => {
    const store = await temporaryStore();
    for (const name of GOOD_NAMES) await store.volumes.create(name);
    expect((await store.volumes.list()).map((info) => info.name)).toEqual([...GOOD_NAMES].sort());
  });
});

describe('names of tags', () => {
  test('are those of volumes, but none that reads as another kind of ref', async () => {
    const { f } = await twoHandles({ a: 'x' });
    const id = f.base!.id;
    for (const name of [
      ...BAD_NAMES,
      'HEAD',
      '2026-01-31',
      '2026-01-31T12',
      'abcdef',
      '123456',
      'ABCDEF',
      id,
      id.slice(0, 6),
      'deadbeef',
    ]) {
      expect([name, await codeOf(f.tag(name))]).toEqual([name, 'CAIRN_INVALID_NAME']);
    }
    const good = GOOD_NAMES.filter((name) => !['HEAD', '2026-01-31', 'abcdef'].includes(name)).concat(
      'head',
      'abcde',
      'v1.0',
      '2026',
      'HEAD1',
      'beefcake',
    );
    for (const name of good) await f.tag(name);
    expect((await f.tags()).map((tag) => tag.name)).toEqual([...good].sort());
    for (const name of good) expect((await f.snapshot(name)).info.id).toBe(id);
  });
});
