import type { Entry, FileNode } from '../manifest/entry.js';
import type { Work } from '../types.js';
import { lstat } from './lstat.js';
import type { FolderPlaces } from './places.js';
import { type Comparing, stampIfSame } from './same-bytes.js';
import { sameTimes, stampOf } from '../stamps/stamp.js';
import type { StatCache } from './stat-cache.js';

/** Times of files are set in whole microseconds, cut off from a double that may be just below. */
const TIME_PRECISION_NS = 2000n;

/** Files that look as this mount made or committed them, and hold something else: torn by a power cut. Reads everything. */
export async function* tornFiles(
  parts: Comparing & { places: FolderPlaces; cache: StatCache },
  shown: Iterable<[string, Entry]>,
  { signal }: Work,
): AsyncGenerator<string> {
  const { places, cache } = parts;
  for (const [path, entry] of shown) {
    signal?.throwIfAborted();
    if (entry.type !== 'file' || !isOurs(places.local(path), cache, path, entry)) continue;
    if ((await stampIfSame(parts, places.local(path), entry.content)) === undefined) yield path;
  }
}

/** Whether a file that was set aside is the one of the tree, torn or whole, and nobody's edit. Reads it only where its times do not tell. */
export async function isOwnAside(
  parts: Comparing & { cache: StatCache },
  path: string,
  aside: string,
  entry: Entry | undefined,
): Promise<boolean> {
  if (entry?.type !== 'file') return false;
  const stat = lstat(aside);
  if (stat?.isFile() !== true) return false;
  const known = parts.cache.get(path);
  // Setting it aside moved its change time.
  if (known !== undefined && known.mtimeNs === stat.mtimeNs && known.inode === stat.ino) return true;
  return hasTimeOf(entry, stat.mtimeNs) || (await stampIfSame(parts, aside, entry.content)) !== undefined;
}

/** Whether nobody touched a file since this mount made or committed it. Its size does not matter: a power cut takes that too, and moves no time. */
function isOurs(local: string, cache: StatCache, path: string, entry: FileNode): boolean {
  const stat = lstat(local);
  if (stat?.isFile() !== true) return false;
  const known = cache.get(path);
  if (known !== undefined) return sameTimes(known, stampOf(stat));
  return hasTimeOf(entry, stat.mtimeNs);
}

function hasTimeOf(entry: FileNode, mtimeNs: bigint): boolean {
  const differenceNs = mtimeNs - entry.mtimeNs;
  return differenceNs < TIME_PRECISION_NS && differenceNs > -TIME_PRECISION_NS;
}
