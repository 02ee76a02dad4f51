import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe } from 'vitest';
import { openDisk } from '../../packages/core/src/disk/open-disk.js';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { asDigest } from '../../packages/core/src/hash/digest.js';
import { crc32Of } from '../../packages/core/src/index/crc32.js';
import { StatCache } from '../../packages/core/src/mount/stat-cache.js';
import type { FolderChange } from '../../packages/core/src/mount/seen-tree.js';
import { decodeLease, encodeClaims, encodeHolder, LEASE_BYTES, slotPosition } from '../../packages/core/src/publish/lease-file.js';
import { isNormalPath } from '../../packages/core/src/volume/paths.js';
import { MalformedError } from '../../packages/core/src/util/bytes.js';
import { fuzz } from './fuzz.js';

const hasher = createHasher('auto');
const digest = (fill: number) => asDigest(new Uint8Array(32).fill(fill));
const disk = await openDisk({ durable: false });
const dir = fs.mkdtempSync(join(tmpdir(), 'cairn-fuzz-'));
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

/** What a stat cache of some folders and files looks like on disk. */
function statCaches(): Uint8Array[] {
  return [1, 8, 60].map((count, n) => {
    const own = join(dir, `sample-${n}`);
    fs.mkdirSync(own);
    const cache = StatCache.load(disk, own, null, hasher);
    const content = { height: 0, root: digest(1), length: 5 };
    const changes: FolderChange[] = [{ path: 'ü', after: { type: 'directory', mtimeNs: 0n } }];
    for (let i = 0; i < count; i++)
      changes.push({ path: `${i % 2 === 0 ? 'ü/' : ''}file ${i}`, after: { type: 'file', executable: false, mtimeNs: 0n, content } });
    cache.follow(changes);
    for (const { path, after } of changes)
      if (after?.type === 'file') cache.set(path, { size: 5, mtimeNs: -7n, ctimeNs: 2n ** 60n, inode: 2n ** 63n + 5n });
    cache.save(digest(7));
    const [name = ''] = fs.readdirSync(own);
    return fs.readFileSync(join(own, name));
  });
}

/** All that a cache knows, as text. */
function told(cache: StatCache): string {
  const folders = [...cache.foldersBelow('')].sort();
  if (!folders.every(isNormalPath)) throw new Error('a folder that leads elsewhere');
  const paths = ['a', 'file 1', 'ü/file 0', 'ü', 'file 59'];
  const stamps = paths.map((path) => Object.values(cache.get(path) ?? {}).join());
  return JSON.stringify([folders, stamps]);
}

const HOLDER = {
  pid: 7,
  startTime: 8,
  bootId: 'a boot',
  pidNamespace: 9,
  createdAtMs: 10,
  index: { dev: 11, ino: 12 },
};
const LEASES = [[], [digest(1), digest(2)], Array.from({ length: 256 }, (_, i) => digest(i))].map((pins) =>
  Buffer.concat([
    encodeHolder(HOLDER),
    encodeClaims(4, { since: 3, pins, pendingEpoch: null }),
    encodeClaims(5, { since: 4, pins: [...pins].reverse(), pendingEpoch: 6 }),
  ]),
);

describe('what processes leave in a store for others', () => {
  const own = join(dir, 'tried');
  fs.mkdirSync(own);

  fuzz({
    name: 'stat cache',
    share: 20,
    samples: statCaches(),
    fields: () => [8, 12, 48, 52, 56, 60, 64, 68, 72].map((at) => ({ at, bytes: at === 72 ? 8 : 4 }) as const),
    reseal(bytes) {
      if (bytes.length < 32) return bytes;
      const end = bytes.length - 32;
      bytes.set(hasher.digest(bytes.subarray(0, end)), end);
      return bytes;
    },
    check(bytes) {
      for (const name of fs.readdirSync(own)) fs.rmSync(join(own, name));
      fs.writeFileSync(join(own, 'stat-cache-1'), bytes);
      const cache = StatCache.load(disk, own, digest(7), hasher);
      if (!cache.isKnown) throw new MalformedError('not believed');
      const before = told(cache);
      cache.begin();
      const again = StatCache.load(disk, own, digest(7), hasher);
      if (told(again) !== before) throw new Error(`${before} is read again as ${told(again)}`);
      again.follow([{ path: 'a', after: { type: 'directory', mtimeNs: 0n } }]);
      again.save(digest(7));
      told(StatCache.load(disk, own, digest(7), hasher));
    },
    memory: { perByte: 100, fixed: 1 << 20 },
  });

  fuzz({
    name: 'lease of an engine',
    share: 25,
    samples: LEASES,
    fields: () => [slotPosition(0), slotPosition(1)].flatMap((at) => [{ at, bytes: 8 }, { at: at + 25, bytes: 2 }, { at: at + 16, bytes: 1 }] as const), // prettier-ignore
    reseal(bytes) {
      const sealed = Buffer.alloc(LEASE_BYTES);
      bytes.copy(sealed);
      for (const [from, to] of [
        [0, slotPosition(0)],
        [slotPosition(0), slotPosition(1)],
        [slotPosition(1), LEASE_BYTES],
      ] as const)
        // prettier-ignore
        sealed.writeUInt32LE(crc32Of(new Uint8Array(), sealed.subarray(from, to), to - from - 4), to - 4);
      return sealed;
    },
    check(bytes) {
      const lease = decodeLease('an id', bytes);
      if (lease === undefined) throw new MalformedError('no lease');
      if (![lease.pid, lease.startTime, lease.since, lease.createdAtMs].every(Number.isSafeInteger))
        throw new Error('a number that is none');
      const { id: _id, since, pins, pendingEpoch, ...holder } = lease;
      // Of as many pins as a lease may have, what is written is what was read.
      if (pins.length > 256) return;
      const again = decodeLease('an id', Buffer.concat([encodeHolder(holder), encodeClaims(8, { since, pins, pendingEpoch }), encodeClaims(9, { since, pins, pendingEpoch })])); // prettier-ignore
      if (JSON.stringify(again) !== JSON.stringify(lease)) throw new Error(`read again as ${JSON.stringify(again)}`);
    },
    memory: { perByte: 8, fixed: 200_000 },
  });
});
