import type { AbsentPack, PackRecord } from '../../index/records.js';
import { ROW_BYTES, type PackedObject } from '../../pack/object-table.js';
import { payloadStart, TRAILER_BYTES } from '../../pack/footer.js';
import type { PackId } from '../../pack/pack-id.js';
import { type Scatter, worthReordering } from './scatter.js';

/** What of all that is kept may be bytes that nothing needs: to have less of them costs more copying than it frees. */
const UNUSED_SHARE = 0.03;
/** Packs below this are small: many of them cost more files and look-ups than bytes. */
export const SMALL_PACK_BYTES = 4 << 20;
/** Chunks and nodes come into packs of their own: as many small ones may be all that there has to be. */
const SMALL_PACKS = 2;

/** What a look through the whole index found of one pack. */
export interface PackUse {
  liveBytes: number;
  live: number;
  deadBytes: number;
  dead: number;
  /** Nodes and records that nothing needs: what they refer to may go, and nobody may build on them then. */
  deadNodes: number;
}

export const UNUSED: PackUse = { liveBytes: 0, live: 0, deadBytes: 0, dead: 0, deadNodes: 0 };

export interface PlanInput {
  packs: readonly PackRecord[];
  absent: ReadonlyMap<PackId, AbsentPack>;
  uses: ReadonlyMap<PackId, PackUse>;
  /** Packs of unfinished work of living processes: they stay as they are. */
  spared: ReadonlySet<PackId>;
  /** Also bring small packs together, and put others in reading order that are scattered, as far as there is room for copies. */
  merge?: { scatter: Scatter; roomBytes: number };
}

/** What a collection is to do, as a value: the same for a dry run. */
export interface Plan {
  /** Packs without anything that is needed. */
  drop: PackRecord[];
  /** Packs of which what is needed is copied out. */
  rewrite: PackRecord[];
  /** Packs that count again: they held something that was not known to be needed. */
  show: PackId[];
}

/** Decides which packs go, and which are to be rewritten so that little is left that nothing needs. */
export function makePlan({ packs, absent, uses, spared, merge }: PlanInput): Plan {
  const plan: Plan = { drop: [], rewrite: [], show: [] };
  const mixed: { pack: PackRecord; garbage: number }[] = [];
  const small: PackRecord[] = [];
  const full: PackRecord[] = [];
  let live = 0;
  let unused = 0;
  for (const pack of packs) {
    if (spared.has(pack.id)) continue;
    const use = uses.get(pack.id) ?? UNUSED;
    if (use.live === 0) {
      plan.drop.push(pack);
      continue;
    }
    const garbage = garbageIn(pack, use);
    live += use.liveBytes;
    if (use.deadNodes > 0) plan.rewrite.push(pack);
    else {
      if (absent.has(pack.id)) plan.show.push(pack.id);
      if (garbage > 0) mixed.push({ pack, garbage });
      else if (pack.sizeBytes < SMALL_PACK_BYTES) small.push(pack);
      if (pack.sizeBytes >= SMALL_PACK_BYTES) full.push(pack);
      unused += garbage;
    }
  }
  // The emptiest first: they give the most for what has to be copied.
  mixed.sort((a, b) => b.garbage / b.pack.sizeBytes - a.garbage / a.pack.sizeBytes);
  for (const { pack, garbage } of mixed) {
    if (unused <= UNUSED_SHARE * live && !(merge !== undefined && pack.sizeBytes < SMALL_PACK_BYTES)) continue;
    plan.rewrite.push(pack);
    unused -= garbage;
  }
  if (merge !== undefined) {
    const going = new Set(plan.rewrite);
    const room = merge.roomBytes - plan.rewrite.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    plan.rewrite.push(
      ...worthReordering(
        full.filter((pack) => !going.has(pack)),
        merge.scatter,
        room,
      ),
    );
    if (small.length > SMALL_PACKS || plan.rewrite.length > 0) plan.rewrite.push(...small);
  }
  const rewritten = new Set(plan.rewrite.map(({ id }) => id));
  return { ...plan, show: plan.show.filter((id) => !rewritten.has(id)) };
}

/** Bytes in a pack that nothing needs: dead objects, and copies of what is found elsewhere. */
function garbageIn(pack: PackRecord, use: PackUse): number {
  if (use.live + use.dead >= pack.objects) return use.deadBytes;
  const payload = pack.sizeBytes - TRAILER_BYTES - ROW_BYTES * pack.objects;
  return Math.max(use.deadBytes, payload - use.liveBytes);
}

/** The size of a pack that holds these objects in this order. */
export function packSize(objects: Iterable<PackedObject>): number {
  let end = 0;
  let count = 0;
  for (const { encoding, storedLength } of objects) {
    end = payloadStart(end, encoding, storedLength) + storedLength;
    count++;
  }
  return end + count * ROW_BYTES + TRAILER_BYTES;
}
