import { promises as fs } from 'node:fs';
import { chunksOf, type ContentRef } from '../content/content.js';
import { digestsEqual } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { settledStat, statOf } from '../ingest/source.js';
import type { NodeSource } from '../objects/node-store.js';
import { sameStamp, type Stamp, stampOf } from '../stamps/stamp.js';

/** The stamp of a file that holds exactly this content; undefined when it holds another, or changed while it was read. Stores nothing. */
export async function stampIfSame(path: string, content: ContentRef, nodes: NodeSource, hasher: Hasher): Promise<Stamp | undefined> {
  const file = await fs.open(path, 'r');
  try {
    await file.datasync();
    const before = stampOf(await settledStat(path, file.fd));
    if (before.size !== content.length) return undefined;
    let position = 0;
    for (const { digest, length } of chunksOf(nodes, content)) {
      const bytes = new Uint8Array(length);
      const { bytesRead } = await file.read(bytes, 0, length, position);
      if (bytesRead < length || !digestsEqual(hasher.digest(bytes), digest)) return undefined;
      position += length;
    }
    return sameStamp(before, stampOf(statOf(path, file.fd))) ? before : undefined;
  } finally {
    await file.close();
  }
}
