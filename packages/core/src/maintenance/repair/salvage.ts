import type { SealedPack } from '../../pack/footer.js';
import { TableBuilder, type ObjectTable } from '../../pack/object-table.js';
import type { PackShelf } from '../../pack/pack-shelf.js';
import { writePackSync, type PackInput } from '../../pack/small-pack.js';
import { readObject, type BrokenPack, type PackAccess } from './survey.js';

/** Payloads in memory at once, and in one pack. */
const PACK_BYTES = 64 << 20;

/** Copies what is whole in a broken pack into new packs, as it is stored. */
export function* salvage(access: PackAccess, shelf: PackShelf, { id, whole }: BrokenPack): Generator<SealedPack> {
  let group: PackInput[] = [];
  let bytes = 0;
  for (const object of whole) {
    const payload = readObject(access, id, object);
    group.push({ ...object, payload });
    bytes += payload.byteLength;
    if (bytes < PACK_BYTES) continue;
    yield writePackSync(shelf, group);
    [group, bytes] = [[], 0];
  }
  if (group.length > 0) yield writePackSync(shelf, group);
}

/** The rows of what is whole in a broken pack, where it lies now. */
export function wholeRows({ whole }: BrokenPack): ObjectTable {
  const table = new TableBuilder();
  for (const object of whole) table.add(object);
  return table.finish();
}
