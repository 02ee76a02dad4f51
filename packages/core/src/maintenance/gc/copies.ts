import type { Hasher } from '../../hash/hasher.js';
import { ObjectKind } from '../../hash/object-kind.js';
import type { IndexReader } from '../../index/reader.js';
import type { PackRecord } from '../../index/records.js';
import type { NodeSource } from '../../objects/node-store.js';
import type { SealedPack } from '../../pack/footer.js';
import { type ObjectTable, type PackedObject, rows, TableBuilder } from '../../pack/object-table.js';
import type { PackId } from '../../pack/pack-id.js';
import { readFooter } from '../../pack/read-footer.js';
import type { StoreLayout } from '../../pack/store-layout.js';
import type { Marking } from '../../publish/marking.js';
import type { CopyResult } from '../../reading/messages.js';
import type { DataReader } from '../../reading/data-reader.js';
import type { Work } from '../../types.js';
import type { Pauses } from './parts.js';
import { packSize, SMALL_PACK_BYTES } from './plan.js';
import { inReadingOrder, Shelf } from './reading-order.js';

/** Stored bytes of one new pack, about. */
const PACK_BYTES = 128 << 20;
const PACK_OBJECTS = 1 << 17;
/** Objects whose places are in memory at once. */
const SHELF_OBJECTS = 1 << 19;

/** One new pack, and where its objects are copied from, in their order. */
export interface CopyPlan {
  sources: { pack: PackId; rows: ObjectTable }[];
  /** Of the new pack. */
  sizeBytes: number;
}

/** What has been copied. */
export interface Copied {
  packs: SealedPack[];
  /** Packs of which everything that is needed was copied. */
  done: Set<PackId>;
  /** Packs that have to stay: something in them is damaged, or there was no room for copies. */
  left: Set<PackId>;
}

interface Planning {
  layout: StoreLayout;
  hasher: Hasher;
  index: IndexReader;
  nodes: NodeSource;
  /** What is to be copied. */
  needed: Pick<Marking, 'has'>;
  pauses: Pauses;
}

/**
 * What has to be copied out of some packs, in reading order. Nodes and records do not share packs with chunks: they die sooner, and a pack with a dead
 * node cannot stay. What has been planned may be carried out before the next is asked for: so there need not be room in memory for all of it.
 */
export async function* plannedCopies(planning: Planning, packs: readonly PackRecord[]): AsyncGenerator<CopyPlan> {
  const groups = [new Group(), new Group()] as const;
  for await (const shelves of shelvesOf(planning, packs)) {
    for await (const { pack, object } of inReadingOrder(planning, shelves)) {
      yield* groups[object.kind === ObjectKind.chunk ? 0 : 1].add(pack, object);
      if (planning.pauses.isDue()) await planning.pauses.take();
    }
    // The reading order of the next ones begins again.
    for (const group of groups) yield* group.flush(SMALL_PACK_BYTES);
  }
  for (const group of groups) yield* group.flush();
}

/** What is to be copied out of the packs, as many of them at a time as fit into memory. */
async function* shelvesOf({ layout, hasher, index, needed, pauses }: Planning, packs: readonly PackRecord[]): AsyncGenerator<Shelf[]> {
  let shelves: Shelf[] = [];
  let count = 0;
  for (const { id } of packs) {
    const builder = new TableBuilder();
    for (const object of rows(readFooter(layout.packPath(id), id, hasher).table)) {
      if (pauses.isDue()) await pauses.take();
      if (!needed.has(object.kind, object.digest)) continue;
      if (isFoundIn(index, id, object)) builder.add(object);
    }
    count += builder.count;
    shelves.push(new Shelf(id, builder.finish()));
    if (count < SHELF_OBJECTS) continue;
    yield shelves;
    [shelves, count] = [[], 0];
  }
  if (shelves.length > 0) yield shelves;
}

/** Whether an object of a pack is looked up there, and not in a copy elsewhere. */
export function isFoundIn(index: IndexReader, id: PackId, { kind, digest, offset }: PackedObject): boolean {
  const location = index.locate(kind, digest);
  return location?.pack === id && location.offset === offset;
}

/** Carries one plan out. */
export function copyLive(parts: { data: DataReader; lease: { id: string } }, { sources }: CopyPlan, work: Work): Promise<CopyResult> {
  return parts.data.copyObjects(sources, parts.lease.id, work);
}

/** Gathers objects for one pack after another; gives the plan of each that is full. */
export class Group {
  private sources = new Map<PackId, PackedObject[]>();
  private bytes = 0;
  private count = 0;

  add(pack: PackId, object: PackedObject): CopyPlan[] {
    const objects = this.sources.get(pack) ?? [];
    this.sources.set(pack, objects);
    objects.push(object);
    this.bytes += object.storedLength;
    return ++this.count >= PACK_OBJECTS || this.bytes >= PACK_BYTES ? this.flush() : NONE;
  }

  /** @param least bytes that are worth a pack of their own */
  flush(least = 1): CopyPlan[] {
    if (this.count === 0 || this.bytes < least) return NONE;
    const sources = [...this.sources].map(([pack, objects]) => {
      const table = new TableBuilder();
      for (const object of objects) table.add(object);
      return { pack, rows: table.finish() };
    });
    const plan = { sources, sizeBytes: packSize([...this.sources.values()].flat()) };
    this.sources = new Map();
    this.bytes = this.count = 0;
    return [plan];
  }
}

const NONE: CopyPlan[] = [];
