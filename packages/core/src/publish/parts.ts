import { openDisk } from '../disk/open-disk.js';
import type { Disk } from '../disk/disk.js';
import { Encoder } from '../encoding/encoder.js';
import { createHasher } from '../hash/blake3.js';
import type { Hasher } from '../hash/hasher.js';
import { IndexEnvironment } from '../index/environment.js';
import { IndexReader } from '../index/reader.js';
import type { IndexStorage } from '../index/storage.js';
import { TransactionGate } from '../index/transaction-gate.js';
import { ObjectReader } from '../objects/object-reader.js';
import { PackFiles } from '../pack/pack-files.js';
import { PackShelf } from '../pack/pack-shelf.js';
import { StoreLayout } from '../pack/store-layout.js';
import { RefJournal } from '../refs/journal.js';
import type { PublishConfig } from './messages.js';
import { Reserve } from './reserve.js';

/** What changes heads, tags, names and histories. */
export interface RefParts {
  readonly config: Pick<PublishConfig, 'disk'>;
  /** Id of the engine's lease. */
  readonly lease: string;
  readonly layout: StoreLayout;
  readonly disk: Disk;
  readonly hasher: Hasher;
  readonly env: IndexStorage;
  readonly reader: IndexReader;
  readonly journal: RefJournal;
  readonly packs: PackFiles;
  readonly objects: ObjectReader;
  readonly reserve: Reserve;
}

/** What the publishing thread works with. */
export interface PublishParts extends RefParts {
  readonly config: PublishConfig;
  readonly shelf: PackShelf;
  readonly encoder: Encoder;
}

/** These on an index and a disk. `cacheBytes`: of nodes that are read. */
export function refParts(
  { config, lease, layout, disk, hasher, env, packs }: Omit<RefParts, 'reader' | 'journal' | 'objects' | 'reserve'>,
  cacheBytes?: number,
): RefParts {
  const reader = new IndexReader(env);
  return {
    config,
    lease,
    layout,
    disk,
    hasher,
    env,
    reader,
    journal: new RefJournal(disk, layout, hasher),
    packs,
    objects: new ObjectReader(reader, packs, hasher, cacheBytes),
    reserve: new Reserve(disk, layout.reservePath),
  };
}

export async function openParts(config: PublishConfig, lease: string, gate = new TransactionGate()): Promise<PublishParts> {
  const layout = new StoreLayout(config.dir);
  const disk = await openDisk(config.disk);
  const hasher = createHasher(config.hash);
  const env = IndexEnvironment.open(layout.indexDir, {
    durable: config.disk.durable,
    gate,
    onCommit: () => disk.indexCommitted?.(),
    ...(config.index === undefined ? {} : { expected: config.index }),
  });
  return {
    ...refParts({ config, lease, layout, disk, hasher, env, packs: new PackFiles(layout) }),
    config,
    shelf: new PackShelf(disk, layout, lease, hasher),
    encoder: new Encoder(config.compression),
  };
}

export async function closeParts(parts: PublishParts): Promise<void> {
  parts.packs.closeAll();
  await parts.env.close();
}
