import { ObjectKind } from '../../hash/object-kind.js';
import type { PackRecord } from '../../index/records.js';
import { KEYS_PER_TRANSACTION } from '../../index/transaction.js';
import { rows } from '../../pack/object-table.js';
import { readFooter } from '../../pack/read-footer.js';
import { listLeases } from '../../publish/leases.js';
import type { Work } from '../../types.js';
import { copyLive, type CopyPlan, Group, isFoundIn } from './copies.js';
import { deleteCondemned } from './deleting.js';
import { sparing } from './needed.js';
import { type CollectParts, Pauses } from './parts.js';
import { SMALL_PACK_BYTES } from './plan.js';

/** What is brought together in one go, the smallest first: little beside what the commits wrote that made it. */
const MAX_BYTES = 64 << 20;
const MAX_OBJECTS = 8 * KEYS_PER_TRANSACTION;
/** Packs that are looked at in one step. */
const PACKS_AT_ONCE = 256;

/**
 * Packs that would better lie together, the smallest first. None of what other processes have stored for changes without a commit: a
 * collection knows such packs by their owner.
 */
export async function smallPacks(parts: CollectParts): Promise<PackRecord[]> {
  const { index, layout, lease } = parts;
  const pauses = new Pauses(parts, {});
  const isSpared = sparing(listLeases(layout).alive.filter(({ id }) => id !== lease.id));
  const small: PackRecord[] = [];
  index.refresh();
  for (
    let packs = index.packsAfter(undefined, PACKS_AT_ONCE);
    packs.length > 0;
    packs = index.packsAfter(packs.at(-1)?.id, PACKS_AT_ONCE)
  ) {
    for (const pack of packs)
      if (pack.sizeBytes < SMALL_PACK_BYTES && !isSpared(pack) && index.absentPack(pack.id) === undefined) small.push(pack);
    if (pauses.isDue(packs.length)) await pauses.take();
  }
  return small.sort((a, b) => a.sizeBytes - b.sizeBytes);
}

/**
 * Copies all that is found in some small packs into one or two, and deletes these: less than `optimize` does, which knows what is needed,
 * and in what order. Here nothing is looked at but the packs themselves. Does nothing while somebody collects. Returns how many went.
 *
 * @throws DamageError where one of the packs cannot be read
 */
export async function mergeSmallPacks(parts: CollectParts, candidates: readonly PackRecord[], work: Work = {}): Promise<number> {
  const { publisher } = parts;
  if (!(await publisher.claimCollection({ first: false }))) return 0;
  try {
    return await merge(parts, chosen(candidates), new Pauses(parts, work), work);
  } finally {
    await publisher.releaseCollection();
  }
}

async function merge(parts: CollectParts, packs: readonly PackRecord[], pauses: Pauses, work: Work): Promise<number> {
  const { index, publisher } = parts;
  index.refresh();
  const { epoch } = index.state();
  const emptied = new Set(packs.map(({ id }) => id));
  for (const plan of await planned(parts, packs, pauses)) {
    const { pack, damaged } = await copyLive(parts, plan, work);
    for (const id of damaged) emptied.delete(id);
    const sources = plan.sources.map((source) => source.pack);
    if (pack !== null && !(await publisher.moveCopies({ epoch, pack, sources }))) return 0;
  }
  if (!(await publisher.retire({ epoch, packs: [...emptied] }))) return 0;
  await deleteCondemned(parts, pauses);
  return emptied.size;
}

function chosen(candidates: readonly PackRecord[]): PackRecord[] {
  let [bytes, objects] = [0, 0];
  return candidates.filter((pack) => {
    bytes += pack.sizeBytes;
    objects += pack.objects;
    return bytes <= MAX_BYTES && objects <= MAX_OBJECTS;
  });
}

/** Nodes and records do not share packs with chunks: they die sooner, and a pack with a dead node cannot stay. */
async function planned(parts: CollectParts, packs: readonly PackRecord[], pauses: Pauses): Promise<CopyPlan[]> {
  const { index, layout, hasher } = parts;
  const plans: CopyPlan[] = [];
  const [chunks, nodes] = [new Group(), new Group()];
  for (const { id } of packs) {
    for (const object of rows(readFooter(layout.packPath(id), id, hasher).table)) {
      if (pauses.isDue()) await pauses.take();
      if (isFoundIn(index, id, object)) plans.push(...(object.kind === ObjectKind.chunk ? chunks : nodes).add(id, object));
    }
  }
  return [...plans, ...chunks.flush(), ...nodes.flush()];
}
