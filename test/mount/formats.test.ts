import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { asDigest, type Digest } from '../../packages/core/src/hash/digest.js';
import type { VolumeId } from '../../packages/core/src/index/records.js';
import { isReserved, type MountId } from '../../packages/core/src/mount/places.js';
import { isSettled, StatCache, type Stamp } from '../../packages/core/src/mount/stat-cache.js';
import { decodeState, encodeState, rootsOf, type MountState } from '../../packages/core/src/mount/state.js';
import { codeOf } from '../contract/support.js';

const hasher = createHasher('auto');
const root = (fill: number): Digest => asDigest(new Uint8Array(32).fill(fill));
const ID = '00112233445566778899aabbccddeeff' as MountId;

const STATE: MountState = {
  id: ID,
  volume: 'ffeeddccbbaa99887766554433221100' as VolumeId,
  dir: '/data/ü',
  device: '65024',
  inode: '18446744073709551615',
  bootId: 'a boot',
  subPath: 'models/llama',
  readOnly: true,
  ignore: ['*.log'],
  ownCommits: 2,
  seen: root(1),
  base: { generation: 7, snapshot: root(2) },
  target: { generation: 9, snapshot: root(3), root: null },
  pending: { generation: 8, root: root(4) },
};

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
const path = fc.array(fc.stringMatching(/^[a-zü€😀]{1,4}$/u), { minLength: 1, maxLength: 4 }).map((names) => names.join('/'));

describe('the stat cache', () => {
  test('comes back as it was, for the tree that it is about and no other', () => {
    fc.assert(
      fc.property(fc.dictionary(path, stamp, { maxKeys: 40 }), fc.boolean(), (rows, isEmpty) => {
        const cache = new StatCache();
        for (const [name, row] of Object.entries(rows)) cache.set(name, row);
        const of = isEmpty ? null : root(5);
        expect(cache.isChangedFor(of)).toBe(true);
        const bytes = cache.encode(of, hasher);
        expect(cache.isChangedFor(of)).toBe(false);
        const read = StatCache.decode(bytes, of, hasher)!;
        for (const [name, row] of Object.entries(rows)) expect(read.get(name)).toEqual(row);
        expect(read.encode(of, hasher)).toEqual(bytes);
        expect(StatCache.decode(bytes, root(6), hasher)).toBeUndefined();
      }),
    );
  });

  test('is as docs/format.md draws it', () => {
    const cache = new StatCache();
    cache.set('d/a', { size: 300, mtimeNs: 1n, ctimeNs: 2n, inode: 3n });
    cache.set('d/b', { size: 1, mtimeNs: -1n, ctimeNs: 2n, inode: 2n ** 64n - 1n });
    const bytes = Buffer.from(cache.encode(null, hasher));
    expect(bytes.subarray(0, -32).toString('hex')).toBe(
      [
        Buffer.from('cairnsta').toString('hex') + '01000000' + '02000000' + '00',
        '00' + '03' + Buffer.from('d/a').toString('hex') + 'ac02' + '0100000000000000' + '0200000000000000' + '0300000000000000',
        '02' + '01' + Buffer.from('b').toString('hex') + '01' + 'ffffffffffffffff' + '0200000000000000' + 'ffffffffffffffff',
      ].join(''),
    );
    expect(bytes.subarray(-32)).toEqual(Buffer.from(hasher.digest(bytes.subarray(0, -32))));
  });

  test('with any byte changed or cut off is none', () => {
    const cache = new StatCache();
    for (let i = 0; i < 4; i++) cache.set(`folder/${i}`, { size: i, mtimeNs: 1n, ctimeNs: 2n, inode: BigInt(i) });
    const bytes = cache.encode(root(1), hasher);
    for (let at = 0; at < bytes.length; at++) {
      const altered = bytes.slice();
      altered[at]! ^= 0x40;
      expect(StatCache.decode(altered, root(1), hasher)).toBeUndefined();
      expect(StatCache.decode(bytes.subarray(0, at), root(1), hasher)).toBeUndefined();
    }
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
