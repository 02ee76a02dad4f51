import { chunksOf } from '../../content/content.js';
import { unlessDamaged } from '../../errors.js';
import { ObjectKind } from '../../hash/object-kind.js';
import type { IndexReader } from '../../index/reader.js';
import type { Location } from '../../index/records.js';
import { walkTree } from '../../manifest/read.js';
import type { NodeSource } from '../../objects/node-store.js';
import { type PackedObject, readRow, rowCount, type ObjectTable } from '../../pack/object-table.js';
import type { PackId } from '../../pack/pack-id.js';
import { decodeSnapshotRecord } from '../../snapshot/record.js';
import type { Pauses } from './parts.js';

interface ReadingParts {
  index: IndexReader;
  nodes: NodeSource;
  pauses: Pauses;
}

/** Objects of one pack that are to be copied, and which of them are on their way. */
export class Shelf {
  readonly pack: PackId;
  private readonly table: ObjectTable;
  private readonly taken: Uint8Array;

  constructor(pack: PackId, table: ObjectTable) {
    this.pack = pack;
    this.table = table;
    this.taken = new Uint8Array(rowCount(table));
  }

  /** The object that begins at an offset, the first time that it is asked for. */
  takeAt(offset: number): PackedObject | undefined {
    let [from, to] = [0, rowCount(this.table)];
    while (from < to) {
      const middle = (from + to) >> 1;
      if (readRow(this.table, middle).offset < offset) from = middle + 1;
      else to = middle;
    }
    const object = from < rowCount(this.table) ? readRow(this.table, from) : undefined;
    if (object?.offset !== offset || this.taken[from] === 1) return undefined;
    this.taken[from] = 1;
    return object;
  }

  /** What nobody asked for. */
  *rest(): Generator<PackedObject> {
    for (let row = 0; row < rowCount(this.table); row++) if (this.taken[row] !== 1) yield readRow(this.table, row);
  }
}

/** The objects of some packs in the order in which a reader of the newest versions wants them: file by file, by path; then the others. */
export async function* inReadingOrder(
  parts: ReadingParts,
  shelves: readonly Shelf[],
): AsyncGenerator<{ pack: PackId; object: PackedObject }> {
  const byPack = new Map(shelves.map((shelf) => [shelf.pack, shelf]));
  for await (const { pack, offset } of chunksInReadingOrder(parts)) {
    const object = byPack.get(pack)?.takeAt(offset);
    if (object !== undefined) yield { pack, object };
  }
  for (const shelf of shelves) for (const object of shelf.rest()) yield { pack: shelf.pack, object };
}

/** Where the chunks of all newest versions lie, in the order in which a reader wants them; those that repeat are there again. */
export async function* chunksInReadingOrder(parts: ReadingParts): AsyncGenerator<Location> {
  for (const digest of headChunks(parts)) {
    if (parts.pauses.isDue()) await parts.pauses.take();
    const location = digest === undefined ? undefined : parts.index.locate(ObjectKind.chunk, digest);
    if (location !== undefined) yield location;
  }
}

/** The chunks of all newest versions, in order; undefined where there is a file, since some have none. */
function* headChunks({ index, nodes }: { index: IndexReader; nodes: NodeSource }): Generator<PackedObject['digest'] | undefined> {
  for (const { head } of index.volumes()) {
    const root = head === null ? undefined : unlessDamaged(() => decodeSnapshotRecord(nodes.get(ObjectKind.snapshot, head)).root);
    if (root === undefined) continue;
    for (const [, entry] of walkTree(nodes, root, '')) {
      if (entry.type !== 'file') continue;
      yield undefined;
      for (const { digest } of chunksOf(nodes, entry.content)) yield digest;
    }
  }
}
