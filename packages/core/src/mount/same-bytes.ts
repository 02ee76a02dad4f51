import fs from 'node:fs';
import { chunksOf, type ContentRef } from '../content/content.js';
import type { Disk } from '../disk/disk.js';
import { reads } from '../disk/reads.js';
import { digestsEqual } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { settledStat, statOf } from '../ingest/source.js';
import type { NodeSource } from '../objects/node-store.js';
import { sameStamp, type Stamp, stampOf } from '../stamps/stamp.js';

/** What it takes to tell whether a file holds what a tree says. */
export interface Comparing {
  disk: Disk;
  nodes: NodeSource;
  hasher: Hasher;
}

/** The stamp of a file that holds exactly this content; undefined when it holds another, or changed while it was read. Stores nothing. */
export async function stampIfSame({ disk, nodes, hasher }: Comparing, path: string, content: ContentRef): Promise<Stamp | undefined> {
  const fd = await reads.open(path);
  try {
    await disk.syncSource(path, fd);
    const before = stampOf(await settledStat(path, fd));
    if (before.size !== content.length) return undefined;
    let position = 0;
    for (const { digest, length } of chunksOf(nodes, content)) {
      const bytes = new Uint8Array(length);
      if (!(await fill(fd, bytes, position)) || !digestsEqual(hasher.digest(bytes), digest)) return undefined;
      position += length;
    }
    return sameStamp(before, stampOf(statOf(path, fd))) ? before : undefined;
  } finally {
    fs.closeSync(fd);
  }
}

/** False where the file ends before. */
async function fill(fd: number, target: Uint8Array, position: number): Promise<boolean> {
  for (let done = 0; done < target.byteLength;) {
    const count = await reads.read(fd, target, done, target.byteLength - done, position + done);
    if (count === 0) return false;
    done += count;
  }
  return true;
}
