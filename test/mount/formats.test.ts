import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EMPTY_CONTENT } from '../../packages/core/src/content/content-ref.js';
import { NodeDisk } from '../../packages/core/src/disk/node-disk.js';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import type { Digest } from '../../packages/core/src/hash/digest.js';
import type { Entry } from '../../packages/core/src/manifest/entry.js';
import { isReserved } from '../../packages/core/src/mount/places.js';
import { StatCache } from '../../packages/core/src/mount/stat-cache.js';
import { StatFiles } from '../../packages/core/src/mount/stat-files.js';
import { encodePage, PageView } from '../../packages/core/src/stamps/page.js';
import { isSettled, type Stamp } from '../../packages/core/src/stamps/stamp.js';
import { decodeState, encodeState, rootsOf } from '../../packages/core/src/mount/state.js';
import { isNormalPath } from '../../packages/core/src/volume/paths.js';
import { codeOf } from '../contract/support.js';
import { ID, root, STATE } from '../support/mount-state.js';
import { tempDir } from '../support/temp-dir.js';

const hasher = createHasher('auto');
describe('the state of a mount', () => {
  test('is as docs/format.md draws it, and comes back as it was', () => {
    const bytes = encodeState(STATE, hasher);
    const hex = (fill: string): string => `"${fill.repeat(32)}"`;
    const [first, json, digest, rest] = Buffer.from(bytes).toString('utf8').split('\n');
    expect(first).toBe('cairn-mount 1');
    expect(json).toBe(
      `{"id":"${ID}","volume":"${STATE.volume}","dir":"/data/ü","device":"65024","inode":"18446744073709551615","bootId":"a boot",` +
        `"subPath":"models/llama","readOnly":true,"ignore":["*.log"],"ownCommits":2,"seen":${hex('01')},` +
        `"base":{"generation":7,"snapshot":${hex('02')}},"target":{"generation":9,"snapshot":${hex('03')},"root":null},` +
        `"pending":{"generation":8,"root":${hex('04')}}}`,
    );
    expect(digest).toMatch(/^blake3 [0-9a-f]{64}$/);
    expect(rest).toBe('');
    expect(decodeState(bytes, ID, hasher)).toEqual(STATE);
    expect(rootsOf(STATE)).toEqual([root(1), root(4)]);
  });

  test('with any byte changed, cut off or added is damage, and never another state', async () => {
    const bytes = encodeState(STATE, hasher);
    for (let at = 0; at < bytes.length; at++) {
      const altered = bytes.slice();
      altered[at]! ^= 1;
      expect(['CAIRN_DAMAGED', 'CAIRN_STORE_FORMAT'], `byte ${at}`).toContain(await codeOf(() => decodeState(altered, ID, hasher)));
      expect(await codeOf(() => decodeState(bytes.subarray(0, at), ID, hasher)), `length ${at}`).toBe('CAIRN_DAMAGED');
    }
    expect(await codeOf(() => decodeState(Buffer.concat([bytes, Buffer.from('x')]), ID, hasher))).toBe('CAIRN_DAMAGED');
    expect(await codeOf(() => decodeState(bytes, '0'.repeat(32), hasher))).toBe('CAIRN_DAMAGED');
  });
});

const stamp: fc.Arbitrary<Stamp> = fc.record({
  size: fc.nat(),
  mtimeNs: fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
  ctimeNs: fc.bigInt({ min: -(2n ** 62n), max: 2n ** 62n }),
  inode: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
});
const STAMP: Stamp = { size: 300, mtimeNs: -1n, ctimeNs: 2n, inode: 2n ** 64n - 1n };
const FILE: Entry = { type: 'file', content: EMPTY_CONTENT, executable: false, mtimeNs: 0n };
const FOLDER: Entry = { type: 'directory', mtimeNs: 0n };
const LINK: Entry = { type: 'symlink', target: 'x', mtimeNs: 0n };
const disk = new NodeDisk(false);

/** A tree as the stat cache is to know it: paths with their stamps; undefined for folders, and where none is known. */
type Known = Map<string, Stamp | undefined>;

/** What a cache knows, by what a comparison would be given. */
function knownBy(cache: StatCache): Known {
  const known: Known = new Map();
  const names = [...cache.foldersBelow('')];
  const { memory, folders } = cache.compared(names);
  folders.forEach(({ offsets, rows }, i) => {
    let count = 0;
    for (const offset of offsets) {
      for (const [name, row] of new PageView(new Uint8Array(memory), offset).decode()) {
        known.set(names[i] === '' ? name : `${names[i]}/${name}`, row.stamp);
        expect(row.kind === 'directory').toBe(names.includes(names[i] === '' ? name : `${names[i]}/${name}`));
        count++;
      }
    }
    expect(count).toBe(rows);
  });
  return known;
}

function loaded(dir: string, of: Digest | null): StatCache {
  return StatCache.load(disk, dir, of, hasher);
}

function files(dir: string): string[] {
  return readdirSync(dir).sort((a, b) => Number(a.slice(11)) - Number(b.slice(11)));
}

/** A step of a tree's life: a name in one of the folders becomes something, or nothing; or it is seen as it is. */
const step = fc.record({
  folder: fc.nat(),
  name: fc.constantFrom('a', 'b', 'c', 'ü€😀', 'long'.repeat(20)),
  becomes: fc.constantFrom(FILE, FOLDER, LINK, undefined, 'seen' as const, 'forgotten' as const),
  stamp,
  save: fc.boolean(),
});

describe('the stat cache', () => {
  test('knows what the tree has, however it came there, also from disk, for the tree that it is about and no other', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const dir = tempDir();
        let cache = loaded(dir, null);
        const model: Known = new Map();
        const kinds = new Map<string, Entry>([['', FOLDER]]);
        let generation = 0;
        for (const { folder, name, becomes, stamp: seen, save } of steps) {
          const folders = [...kinds].filter(([, { type }]) => type === 'directory').map(([path]) => path);
          const parent = folders[folder % folders.length]!;
          const path = parent === '' ? name : `${parent}/${name}`;
          const before = kinds.get(path);
          if (becomes === 'seen' || becomes === 'forgotten') {
            if (becomes === 'seen') cache.set(path, seen);
            else cache.delete(path);
            if (before !== undefined && before.type !== 'directory') model.set(path, becomes === 'seen' ? seen : undefined);
          } else {
            const below = [...kinds.keys()].filter((other) => other.startsWith(`${path}/`));
            const gone = before?.type === 'directory' && becomes?.type !== 'directory' ? below : [];
            const change = { path, ...(before && { before }), ...(becomes && { after: becomes }) };
            cache.follow([change, ...gone.map((other) => ({ path: other, before: kinds.get(other)! }))]);
            for (const other of gone) [kinds, model].forEach((map) => map.delete(other));
            if (becomes === undefined) [kinds, model].forEach((map) => map.delete(path));
            else {
              kinds.set(path, becomes);
              model.set(path, undefined);
            }
          }
          if (!save) continue;
          cache.save(root(++generation % 256));
          expect(cache.isChangedFor(root(generation % 256))).toBe(false);
          expect(loaded(dir, root((generation + 1) % 256)).isKnown).toBe(false);
          cache = loaded(dir, root(generation % 256));
        }
        expect(knownBy(cache)).toEqual(model);
        for (const [path, known] of model) expect(cache.get(path)).toEqual(known);
      }),
      { numRuns: 60 },
    );
  });

  test('a folder of many files keeps all of them, and writes little when one changes', () => {
    const dir = tempDir();
    const cache = loaded(dir, null);
    const name = (i: number): string => `file-${i}`;
    cache.follow(Array.from({ length: 6_000 }, (_, i) => ({ path: name(i), after: FILE })));
    for (let i = 0; i < 6_000; i++) cache.set(name(i), { ...STAMP, size: i });
    cache.save(root(1));
    const whole = statSync(join(dir, 'stat-cache-1')).size;
    cache.set(name(7), STAMP);
    cache.save(root(2));
    expect(statSync(join(dir, 'stat-cache-2')).size * 4).toBeLessThan(whole);
    const again = loaded(dir, root(2));
    for (let i = 0; i < 6_000; i++) expect(again.get(name(i))).toEqual(i === 7 ? STAMP : { ...STAMP, size: i });
    expect(knownBy(again).size).toBe(6_000);
  });

  test('its files take about twice what is in them, and are few, however often it is saved', () => {
    const dir = tempDir();
    const cache = loaded(dir, null);
    cache.follow(Array.from({ length: 900 }, (_, i) => ({ path: `file-${i}`, after: FILE })));
    for (let i = 0; i < 900; i++) cache.set(`file-${i}`, STAMP);
    for (let i = 0; i < 600; i++) {
      cache.set(`file-${i % 900}`, { ...STAMP, size: i });
      cache.save(root(i % 256));
      const bytes = files(dir).reduce((sum, file) => sum + statSync(join(dir, file)).size, 0);
      expect(bytes).toBeLessThan((1 << 20) + 4 * 60 * 1024);
      expect(files(dir).length).toBeLessThanOrEqual(257);
    }
    expect(knownBy(loaded(dir, root(599 % 256)))).toEqual(knownBy(cache));
  });

  test('is as docs/format.md draws it', () => {
    const dir = tempDir();
    const cache = loaded(dir, null);
    cache.follow([
      { path: 'd', after: FOLDER },
      { path: 'd/a', after: FILE },
      { path: 'd/b', after: LINK },
    ]);
    cache.set('d/a', STAMP);
    cache.save(root(5));
    cache.follow([{ path: 'd', before: FOLDER, after: FILE }]);
    cache.save(null);
    expect(files(dir)).toEqual(['stat-cache-1', 'stat-cache-2']);
    const golden = readFileSync(new URL('../vectors/stat-cache-v2.txt', import.meta.url), 'utf8');
    const written = files(dir).map((name) => `${readFileSync(join(dir, name)).toString('hex').replace(/.{64}/g, '$&\n')}\n`);
    expect(written.join('\n')).toBe(golden);
  });

  test('with any byte of a file changed or cut off is unknown, or what it was before, and the next save mends it', () => {
    const made = tempDir();
    const cache = loaded(made, null);
    cache.follow([{ path: 'a', after: FILE }]);
    cache.save(root(1));
    cache.follow([{ path: 'd', after: FOLDER }]);
    cache.follow([{ path: 'd/b', after: FILE }]);
    cache.set('d/b', STAMP);
    cache.save(root(2));
    const harm = (file: string, at: number, how: (bytes: Buffer) => Buffer): void => {
      const dir = tempDir();
      for (const name of files(made)) {
        const bytes = readFileSync(join(made, name));
        writeFileSync(join(dir, name), name === file ? how(bytes) : bytes);
      }
      expect(loaded(dir, root(2)).isKnown, `${file} at ${at}`).toBe(false);
      const before = loaded(dir, root(1));
      expect(before.isKnown).toBe(file === 'stat-cache-2');
      if (before.isKnown) expect(knownBy(before)).toEqual(new Map([['a', undefined]]));
      const anew = loaded(dir, root(2));
      anew.begin();
      anew.follow([{ path: 'x', after: FILE }]);
      anew.save(root(2));
      expect([...knownBy(loaded(dir, root(2))).keys()]).toEqual(['x']);
      expect(files(dir).length).toBe(1);
    };
    for (const file of files(made)) {
      const { size } = statSync(join(made, file));
      for (let at = 0; at < size; at += 7) {
        harm(file, at, (bytes) => {
          bytes[at]! ^= 0x40;
          return bytes;
        });
        harm(file, at, (bytes) => bytes.subarray(0, at));
      }
    }
  });

  test('whatever a whole file holds, it is unknown or pages within their bounds', () => {
    const page = fc.record({
      folder: fc.constantFrom('', 'd', 'd/e', '../x'),
      count: fc.constantFrom(0, 1, 2, 3, 4, 2 ** 31),
      index: fc.constantFrom(0, 1, 5),
      names: fc.uniqueArray(fc.constantFrom('a', 'b', '..', ''), { maxLength: 3 }),
      harm: fc.option(fc.tuple(fc.nat(200), fc.integer({ min: 0, max: 255 })), { nil: undefined }),
    });
    fc.assert(
      fc.property(fc.array(page, { maxLength: 6 }), (pages) => {
        const dir = tempDir();
        const bytes = pages.map(({ folder, count, index, names, harm }) => {
          const written = encodePage(folder, count, index, new Map(names.map((name) => [name, { kind: 'file', stamp: STAMP }])));
          if (harm !== undefined) written[harm[0] % written.length] = harm[1];
          return written;
        });
        new StatFiles(disk, dir, hasher).replace(root(1), Buffer.concat(bytes));
        const cache = loaded(dir, root(1));
        const { memory, folders } = cache.compared([...cache.foldersBelow('')]);
        for (const { offsets } of folders) {
          for (const offset of offsets) {
            const view = new PageView(new Uint8Array(memory), offset);
            expect(view.names.length).toBe(view.rows);
            expect(isNormalPath(view.folder)).toBe(true);
            expect(view.decode().size).toBeLessThanOrEqual(view.rows);
          }
        }
      }),
      { numRuns: 300 },
    );
  });

  test('a stamp is settled when its times are older than a tick of the clock', () => {
    const nowMs = 1_000_000;
    const at = (ms: number): bigint => BigInt(ms) * 1_000_000n;
    const old = at(nowMs - 1000);
    expect(isSettled({ size: 0, mtimeNs: old, ctimeNs: old, inode: 1n }, nowMs)).toBe(true);
    for (const recent of [nowMs - 1, nowMs, nowMs + 1000]) {
      expect(isSettled({ size: 0, mtimeNs: old, ctimeNs: at(recent), inode: 1n }, nowMs)).toBe(false);
      expect(isSettled({ size: 0, mtimeNs: at(recent), ctimeNs: old, inode: 1n }, nowMs)).toBe(false);
    }
  });
});

test('a reserved name is one at any depth, and nothing that only looks like it', () => {
  for (const path of ['.cairn-mount', 'a/.cairn-mount', '.cairn-mount/b', 'a/.cairn-mount/b']) expect(isReserved(path)).toBe(true);
  for (const path of ['cairn-mount', '.cairn-mounts', 'a.cairn-mount/b', 'a/.cairn-mount-b']) expect(isReserved(path)).toBe(false);
});
