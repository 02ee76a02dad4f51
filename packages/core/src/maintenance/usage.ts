import type { DiskSpec } from '../disk/disk.js';
import { digestToHex } from '../hash/digest.js';
import { ObjectKind, objectMapKey } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import { totals } from '../manifest/read.js';
import type { NodeSource } from '../objects/node-store.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { protecting } from '../publish/protection.js';
import { listLeases } from '../publish/leases.js';
import { openSnapshots } from '../publish/marking.js';
import { decodeSnapshotRecord } from '../snapshot/record.js';
import type { Reference } from '../snapshot/references.js';
import { ObjectWalker, publishedBelow, type Walk } from '../snapshot/walk-down.js';
import type { SnapshotId, Usage, Work } from '../types.js';
import { condemnedBytes, sizeOf } from './gc/report.js';

export interface UsageParts {
  index: IndexReader;
  nodes: NodeSource;
  layout: StoreLayout;
  spec: DiskSpec;
}

/** More than one snapshot, or volume, keeps the object. */
const SHARED = -1;

interface Keeper {
  volume: number;
  snapshot: number;
  storedLength: number;
}

/**
 * Counts, for every stored object, whether one snapshot alone, one volume alone, or several keep it. An object is gone
 * into again only while that can still change the answer: at most three times, however many snapshots there are.
 */
export async function measureUsage({ index, nodes, layout, spec }: UsageParts, work: Work = {}): Promise<Usage> {
  work.signal?.throwIfAborted();
  index.refresh();
  const keepers = new Map<string, Keeper>();
  const volumes = index.volumes().map((record) => ({ record, snapshots: [...index.generations(record.id)] }));
  let logical = 0;
  let files = 0;
  let keeper = { volume: 0, number: 0 };
  const walk = {
    below: publishedBelow(nodes),
    pause: async () => {
      work.signal?.throwIfAborted();
      work.onProgress?.({ phase: 'usage', bytes: logical, files, newBytes: 0 });
      await new Promise(setImmediate);
    },
  };
  const walker = new ObjectWalker({ ...walk, enter: (reference) => keep(keepers, index, reference, keeper.volume, keeper.number) });
  const counted = new Set<string>();
  const snapshotIds: { volume: number; id: string }[] = [];

  for (const [volume, { snapshots }] of volumes.entries()) {
    for (const { snapshot } of snapshots) {
      work.signal?.throwIfAborted();
      const number = snapshotIds.push({ volume, id: digestToHex(snapshot) }) - 1;
      // A fork shares snapshots with the volume that it came from: their files count once.
      if (!counted.has(digestToHex(snapshot))) {
        counted.add(digestToHex(snapshot));
        const sums = totals(nodes, decodeSnapshotRecord(nodes.get(ObjectKind.snapshot, snapshot)).root);
        logical += sums.sizeBytes;
        files += sums.files;
      }
      keeper = { volume, number };
      await walker.from({ kind: ObjectKind.snapshot, digest: snapshot });
    }
  }
  const held = await heldBytes(keepers, index, walk, openSnapshots(index, protecting(spec, listLeases(layout))));
  return report(
    index,
    volumes.map(({ record }) => record.name ?? ''),
    snapshotIds,
    keepers,
    { logical, held },
  );
}

/** Bytes of what no history keeps, and versions need that may be open. */
async function heldBytes(
  keepers: ReadonlyMap<string, Keeper>,
  index: IndexReader,
  walk: Omit<Walk, 'enter'>,
  open: Iterable<Reference>,
): Promise<number> {
  const held = new Set<string>();
  let bytes = 0;
  const enter = ({ kind, digest }: Reference): boolean => {
    const key = objectMapKey(kind, digest);
    if (keepers.has(key) || held.has(key)) return false;
    held.add(key);
    bytes += index.locate(kind, digest)?.storedLength ?? 0;
    return true;
  };
  const walker = new ObjectWalker({ ...walk, enter });
  for (const start of open) await walker.from(start);
  return bytes;
}

/** Notes that a snapshot keeps an object; false when what lies below it needs no other look. */
function keep(keepers: Map<string, Keeper>, index: IndexReader, { kind, digest }: Reference, volume: number, snapshot: number): boolean {
  const key = objectMapKey(kind, digest);
  const keeper = keepers.get(key);
  if (keeper === undefined) {
    keepers.set(key, { volume, snapshot, storedLength: index.locate(kind, digest)?.storedLength ?? 0 });
    return true;
  }
  const now = { volume: keeper.volume === volume ? volume : SHARED, snapshot: keeper.snapshot === snapshot ? snapshot : SHARED };
  if (now.volume === keeper.volume && now.snapshot === keeper.snapshot) return false;
  Object.assign(keeper, now);
  return true;
}

function report(
  index: IndexReader,
  names: string[],
  snapshotIds: { volume: number; id: string }[],
  keepers: Map<string, Keeper>,
  { logical, held }: { logical: number; held: number },
): Usage {
  const ofVolume = new Array<number>(names.length).fill(0);
  const ofSnapshot = new Array<number>(snapshotIds.length).fill(0);
  let reachable = 0;
  for (const { volume, snapshot, storedLength } of keepers.values()) {
    reachable += storedLength;
    if (volume !== SHARED) ofVolume[volume] = (ofVolume[volume] ?? 0) + storedLength;
    if (snapshot !== SHARED) ofSnapshot[snapshot] = (ofSnapshot[snapshot] ?? 0) + storedLength;
  }
  let objects = 0;
  for (const { storedLength } of index.objects()) objects += storedLength;
  const { packBytes } = index.state();
  const doomed = sizeOf(index.doomedPacks());
  return {
    logical,
    stored: packBytes + doomed,
    unreachable: Math.max(0, objects - reachable),
    held,
    waiting: condemnedBytes(index) + doomed,
    volumes: names.map((name, volume) => ({
      name,
      exclusive: ofVolume[volume] ?? 0,
      snapshots: snapshotIds.flatMap((snapshot, number) =>
        snapshot.volume === volume ? [{ id: snapshot.id as SnapshotId, exclusive: ofSnapshot[number] ?? 0 }] : [],
      ),
    })),
  };
}
