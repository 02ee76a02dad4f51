import fs from 'node:fs';
import type { Damage } from '../errors.js';
import type { Hasher } from '../hash/hasher.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import { damagedObject } from '../objects/verified-object.js';
import { listPacks } from '../pack/list-packs.js';
import { readRow, rowCount } from '../pack/object-table.js';
import type { PackId } from '../pack/pack-id.js';
import { readFooter } from '../pack/read-footer.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { Turns } from '../util/turns.js';
import type { Findings } from './findings.js';
import { objectCount } from './object-count.js';
import { Phases } from './phases.js';

/** What a check of packs looks at. */
export interface PackParts {
  layout: StoreLayout;
  index: IndexReader;
  hasher: Hasher;
}

interface CheckWork {
  findings: Findings;
  phases: Phases;
  signal: AbortSignal | undefined;
}

/** Checks the footers of packs that the index knows, and that it says the same of what is in them. Returns the number of their chunks. */
export async function verifyFooters(parts: PackParts, packs: readonly PackId[], { findings, phases, signal }: CheckWork): Promise<number> {
  const placed = new Map<PackId, number>();
  const turns = new Turns();
  let chunks = 0;
  phases.begin('checking packs', { of: 'packs', total: packs.length });
  for (const id of packs) {
    const counts = findings.collect(() => unlessCollected(parts.index, id, () => verifyFooter(parts, id)));
    if (counts !== undefined) {
      chunks += counts.chunks;
      placed.set(id, counts.placed);
    }
    phases.advance(1);
    if (!turns.isOver()) continue;
    signal?.throwIfAborted();
    await turns.next();
  }
  const total = findings.collect(() => objectCount(parts.index));
  phases.begin('checking the index', { of: 'objects', ...(total === undefined ? {} : { total }) });
  for (const damage of await misplaced(parts, placed, { findings, phases, signal })) findings.add(damage);
  return chunks;
}

/** Reads a pack's footer, and counts its chunks, and its objects that the index places there. */
function verifyFooter({ layout, hasher, index }: PackParts, id: PackId): { chunks: number; placed: number } {
  const { table } = readFooter(layout.packPath(id), id, hasher);
  let chunks = 0;
  let placed = 0;
  for (let i = 0; i < rowCount(table); i++) {
    const { kind, digest, offset, storedLength, length, encoding } = readRow(table, i);
    if (kind === ObjectKind.chunk) chunks++;
    const location = index.locate(kind, digest);
    if (location === undefined) throw damagedObject(kind, digest, `is in pack ${id} and not in the index`);
    // An object that two processes stored at once lies in two packs; the index keeps one of them.
    if (location.pack !== id) continue;
    if (
      location.offset === offset &&
      location.storedLength === storedLength &&
      location.length === length &&
      location.encoding === encoding
    )
      placed++;
  }
  return { chunks, placed };
}

/**
 * That the index places in each pack what the pack's own footer places there, and nothing else. A collection moves objects, so what
 * looks wrong is looked at again: it would have to move them between the same two looks each time.
 */
async function misplaced(parts: PackParts, placed: Map<PackId, number>, work: CheckWork): Promise<Damage[]> {
  let wrong = await differing(parts.index, placed, work);
  for (let look = 1; wrong.size > 0 && look < LOOKS; look++) {
    parts.index.refresh();
    const again = new Map<PackId, number>();
    for (const id of placed.keys()) {
      const counts = work.findings.collect(() => unlessCollected(parts.index, id, () => verifyFooter(parts, id)));
      if (counts !== undefined) again.set(id, counts.placed);
    }
    const still = await differing(parts.index, again, { ...work, phases: new Phases({}) });
    wrong = new Map([...wrong].filter(([id]) => still.has(id)));
  }
  return [...wrong].map(([id, kind]) => ({ kind, id, affects: [] }));
}

const LOOKS = 3;
/** Rows of the index that are read at once. */
const ROWS_AT_ONCE = 1024;

/** Packs that the index places other objects in than they say, and packs that it does not know. */
async function differing(
  index: IndexReader,
  placed: ReadonlyMap<PackId, number>,
  { findings, phases, signal }: CheckWork,
): Promise<Map<PackId, 'index' | 'pack'>> {
  const left = new Map(placed);
  const wrong = new Map<PackId, 'index' | 'pack'>();
  const turns = new Turns();
  for (let after: Uint8Array | undefined, more = true; more;) {
    const read = findings.collect(() => {
      const page = index.objectsAfter(after, ROWS_AT_ONCE);
      for (const { pack } of page.objects) {
        const count = left.get(pack);
        if (count !== undefined) left.set(pack, count - 1);
        // Of a pack on its way out the objects go before its file does.
        else if (index.pack(pack) === undefined && index.doomedPack(pack) === undefined) wrong.set(pack, 'pack');
      }
      return page;
    });
    // Of an index that cannot be read to its end nothing can be said.
    if (read === undefined) return new Map();
    phases.advance(read.objects.length);
    after = read.next;
    more = after !== undefined;
    if (!turns.isOver(ROWS_AT_ONCE)) continue;
    signal?.throwIfAborted();
    await turns.next();
  }
  for (const [pack, count] of left) if (count !== 0) wrong.set(pack, 'index');
  return wrong;
}

/** What a check of a pack finds; undefined, whatever it found, when the pack was collected meanwhile. */
function unlessCollected<T>(index: IndexReader, id: PackId, check: () => T): T | undefined {
  try {
    return check();
  } catch (error) {
    index.refresh();
    if (index.pack(id) === undefined) return undefined;
    throw error;
  }
}

/**
 * Packs on the disk that no entry of the index leads to: of work under way, or of processes that died at it. That they are there is no
 * damage; that one cannot be read is.
 */
export async function strayPacks({ layout, index, hasher }: PackParts, { findings, signal }: CheckWork): Promise<PackId[]> {
  const isKnown = (id: PackId): boolean => index.pack(id) !== undefined || index.doomedPack(id) !== undefined;
  const turns = new Turns();
  const strays: PackId[] = [];
  index.refresh();
  for (const id of listPacks(layout)) {
    if (findings.collect(() => isKnown(id)) === false) strays.push(id);
    if (!turns.isOver()) continue;
    signal?.throwIfAborted();
    await turns.next();
  }
  // Published, or deleted, since they were listed.
  index.refresh();
  const left = strays.filter((id) => findings.collect(() => isKnown(id)) === false && fs.existsSync(layout.packPath(id)));
  for (const id of left) findings.collect(() => unlessGone(layout, id, () => readFooter(layout.packPath(id), id, hasher)));
  return left;
}

function unlessGone<T>(layout: StoreLayout, id: PackId, check: () => T): T | undefined {
  try {
    return check();
  } catch (error) {
    if (!fs.existsSync(layout.packPath(id))) return undefined;
    throw error;
  }
}
