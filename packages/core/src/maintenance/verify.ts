import type { Damage } from '../errors.js';
import type { Hasher } from '../hash/hasher.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import { ObjectReader } from '../objects/object-reader.js';
import { damagedObject } from '../objects/verified-object.js';
import { readRow, rowCount } from '../pack/object-table.js';
import type { PackFiles } from '../pack/pack-files.js';
import type { PackId } from '../pack/pack-id.js';
import { readFooter } from '../pack/read-footer.js';
import type { StoreLayout } from '../pack/store-layout.js';
import type { DataReader } from '../reading/data-reader.js';
import type { VerifyReport, Work } from '../types.js';
import { damagedMounts } from '../mount/roots.js';
import { compareWithJournal } from './compare-journal.js';
import { Findings } from './findings.js';
import { traceDamage } from './trace-damage.js';
import { verifyTrees } from './verify-trees.js';

/** What a check looks at. */
export interface VerifyParts {
  layout: StoreLayout;
  index: IndexReader;
  packs: PackFiles;
  hasher: Hasher;
  data: DataReader;
  workers: number;
}

/**
 * Checks a store beside its users: every pack's footer, that the index says what packs and journal say, and that all
 * trees are whole; with `readData` every payload as well, by all workers.
 */
export async function verifyStore(parts: VerifyParts, work: Work & { readData?: boolean }): Promise<VerifyReport> {
  const findings = new Findings();
  parts.index.refresh();
  const packs = findings.collect(() => [...parts.index.packs()].map((pack) => pack.id)) ?? [];
  const placed = new Map<PackId, number>();
  let chunks = 0;
  for (const id of packs) {
    work.signal?.throwIfAborted();
    const counts = findings.collect(() => unlessCollected(parts.index, id, () => verifyFooter(parts, id)));
    if (counts !== undefined) {
      chunks += counts.chunks;
      placed.set(id, counts.placed);
    }
    await new Promise(setImmediate);
  }
  findings.collect(() => findings.add(...misplaced(parts, placed)));
  findings.collect(() => findings.add(...compareWithJournal(parts.layout, parts.index, parts.hasher)));
  findings.add(...damagedMounts(parts.layout.mountsDir, parts.hasher));
  const bytes = work.readData === true ? await readAllData(parts, packs, work, findings) : 0;

  // Without a cache: what is checked is the disk.
  const nodes = new ObjectReader(parts.index, parts.packs, parts.hasher, 0);
  await verifyTrees(parts.index, nodes, findings, work.signal);
  if (findings.damage.length > 0) traceDamage(parts.index, nodes, findings);
  return { ok: findings.damage.length === 0, packs: packs.length, chunks, bytes, damage: findings.damage };
}

/** Reads a pack's footer, and counts its chunks, and its objects that the index places there. */
function verifyFooter({ layout, hasher, index }: VerifyParts, id: PackId): { chunks: number; placed: number } {
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
function misplaced(parts: VerifyParts, placed: Map<PackId, number>): Damage[] {
  let wrong = differing(parts.index, placed);
  for (let look = 1; wrong.size > 0 && look < LOOKS; look++) {
    parts.index.refresh();
    const again = new Map<PackId, number>();
    for (const id of placed.keys()) {
      const counts = unlessCollected(parts.index, id, () => verifyFooter(parts, id));
      if (counts !== undefined) again.set(id, counts.placed);
    }
    const still = differing(parts.index, again);
    wrong = new Map([...wrong].filter(([id]) => still.has(id)));
  }
  return [...wrong].map(([id, kind]) => ({ kind, id, affects: [] }));
}

const LOOKS = 3;

/** Packs that the index places other objects in than they say, and packs that it does not know. */
function differing(index: IndexReader, placed: ReadonlyMap<PackId, number>): Map<PackId, 'index' | 'pack'> {
  const left = new Map(placed);
  const wrong = new Map<PackId, 'index' | 'pack'>();
  for (const { pack } of index.objects()) {
    const count = left.get(pack);
    if (count !== undefined) left.set(pack, count - 1);
    // Of a pack on its way out the objects go before its file does.
    else if (index.pack(pack) === undefined && index.doomedPack(pack) === undefined) wrong.set(pack, 'pack');
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

/** Re-reads all packs by all workers. Returns the logical bytes that are whole. */
async function readAllData({ data, index, workers }: VerifyParts, packs: PackId[], work: Work, findings: Findings): Promise<number> {
  let bytes = 0;
  let files = 0;
  let failed = false;
  const next = packs.values();
  const lane = async (): Promise<void> => {
    for (const id of next) {
      if (failed) return;
      const check = await data.checkPack(id, { signal: work.signal });
      index.refresh();
      if (index.pack(id) === undefined) continue; // collected meanwhile
      findings.add(...check.damage);
      bytes += check.bytes;
      work.onProgress?.({ phase: 'verifying', bytes, files: ++files, newBytes: 0 });
    }
  };
  const lanes = Array.from({ length: workers }, () =>
    lane().catch((error: unknown) => {
      failed = true;
      throw error;
    }),
  );
  await Promise.allSettled(lanes);
  await Promise.all(lanes);
  return bytes;
}
