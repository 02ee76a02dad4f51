import { readdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHasher } from '../../packages/core/dist/hash/blake3.js';
import { decodeState } from '../../packages/core/dist/mount/state.js';
import { NodeDisk } from '../../packages/core/dist/disk/node-disk.js';
import { StatCache } from '../../packages/core/dist/mount/stat-cache.js';
import { stampOf } from '../../packages/core/dist/stamps/stamp.js';
import fs from 'node:fs';

const hasher = createHasher('auto');

function states(store: string): { dir: string; id: string }[] {
  return readdirSync(join(store, 'mounts')).map((id) => ({ dir: join(store, 'mounts', id), id }));
}

/**
 * Changes the bytes of a file as a power cut does: of all that the system says of it, its size at most moves. `known`: the path by which
 * the mount knows how it looked, when that is another one.
 */
export function tear(path: string, store: string, how: 'zeros' | 'empty', known?: string): void {
  const { size, atime, mtime } = statSync(path);
  writeFileSync(path, Buffer.alloc(how === 'zeros' ? size : 0));
  utimesSync(path, atime, mtime);
  for (const { dir, id } of states(store)) {
    const state = decodeState(readFileSync(join(dir, 'state')), id, hasher);
    const cache = StatCache.load(new NodeDisk(false), dir, state.seen, hasher);
    cache.set(known ?? path.slice(state.dir.length + 1), { ...stampOf(fs.lstatSync(path, { bigint: true })), size });
    cache.save(state.seen);
  }
}
