import { StillDisk } from '../disk/still-disk.js';
import type { DiskSpec } from '../disk/disk.js';
import type { Hasher } from '../hash/hasher.js';
import type { IndexReader } from '../index/reader.js';
import { ShadowIndex } from '../index/shadow-index.js';
import type { PackFiles } from '../pack/pack-files.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { clearingUp } from './clear-up.js';
import type { Leases } from './leases.js';
import { refParts } from './parts.js';

interface Foreseeing {
  spec: DiskSpec;
  layout: StoreLayout;
  hasher: Hasher;
  packs: PackFiles;
  index: IndexReader;
  lease: { id: string };
}

/**
 * The index as it would be once a collection had cleared up after dead processes, by the code that would do it: on an index whose changes
 * stay in memory, and a disk on which nothing changes.
 *
 * @param leases those that there would be by then
 * @param pause called after each small step
 */
export async function foreseeClearingUp(
  { spec, layout, hasher, packs, index, lease }: Foreseeing,
  leases: () => Leases,
  pause: () => Promise<void>,
): Promise<IndexReader> {
  index.refresh();
  const env = new ShadowIndex(index.storage);
  const parts = refParts({ config: { disk: spec }, lease: lease.id, layout, disk: new StillDisk(), hasher, env, packs }, 0);
  for (const _step of clearingUp(parts, leases)) await pause();
  return parts.reader;
}
