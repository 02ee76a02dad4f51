import type { IndexReader } from '../../index/reader.js';
import { type KnownMounts, lostMounts } from '../../mount/roots.js';
import type { PackId } from '../../pack/pack-id.js';
import { blockersOf } from '../../publish/protection.js';
import type { Lease } from '../../publish/lease-file.js';
import type { GcReport } from '../../types.js';
import type { Copied } from './copies.js';
import type { CollectParts } from './parts.js';
import type { Plan } from './plan.js';
import type { View } from './view.js';

/** What came of a run through the whole store. */
export interface Outcome extends GcReport {
  /** Packs that were written. */
  packsWritten: number;
  /** Packs and their bytes before. */
  before: { packs: number; bytes: number };
}

interface Found {
  before: Outcome['before'];
  /** Bytes that only open versions need. */
  held: number;
  plan: Plan;
}

/** What a collection did. */
export function outcomeOf(
  parts: CollectParts,
  view: View,
  { before, held, plan, copied, freed }: Found & { copied: Copied; freed: number },
): Outcome {
  const { index } = view;
  index.refresh();
  const waiting = [...condemned(index), ...index.doomedPacks()];
  return {
    packsDropped: plan.drop.length,
    packsRewritten: copied.done.size,
    packsWritten: copied.packs.length,
    before,
    freed: freed - sizeOf(copied.packs),
    live: index.state().packBytes - condemnedBytes(index),
    waiting: sizeOf(waiting),
    held,
    blockedBy: blockers(parts, view, { waiting, held }),
    ...troubledMounts(index, view.mounts()),
  };
}

/** What a collection would do. */
export function foreseen(
  parts: CollectParts,
  view: View,
  { before, held, plan, copies }: Found & { copies: readonly { sizeBytes: number }[] },
): Outcome {
  const { index } = view;
  const gone = [...plan.drop, ...plan.rewrite];
  const written = sizeOf(copies);
  const leases = view.leases();
  const mounts = view.mounts();
  // What was condemned before keeps its epoch: it waits for fewer.
  const condemning = gone.map(({ id, sizeBytes }) => ({ sizeBytes, condemnedEpoch: condemnedBefore(index, id) }));
  const doomed = [...index.doomedPacks()];
  const waits = ({ condemnedEpoch }: LeavingPack): boolean =>
    blockersOf(parts.spec, index.storage.identity, leases, condemnedEpoch).length > 0;
  const waiting = [...(mounts.unreadable.length > 0 ? condemning : condemning.filter(waits)), ...doomed.filter(waits)];
  return {
    packsDropped: plan.drop.length,
    packsRewritten: plan.rewrite.length,
    packsWritten: copies.length,
    before,
    freed: sizeOf(condemning) + sizeOf(doomed) - sizeOf(waiting) - written,
    live: index.state().packBytes - sizeOf(gone) + written,
    waiting: sizeOf(waiting),
    held,
    blockedBy: blockers(parts, view, { waiting, held }),
    ...troubledMounts(index, mounts),
  };
}

/** A pack that is to be deleted once nobody can refer to it any more. */
interface LeavingPack {
  sizeBytes: number;
  condemnedEpoch: number;
}

function condemnedBefore(index: IndexReader, id: PackId): number {
  const epoch = index.absentPack(id)?.condemnedEpoch ?? 0;
  return epoch > 0 ? epoch : Infinity;
}

/** Who keeps what from being freed: condemned packs from being deleted, or removed versions from being forgotten. */
function blockers({ spec }: CollectParts, view: View, { waiting, held }: { waiting: LeavingPack[]; held: number }): GcReport['blockedBy'] {
  const { alive, unreadable } = view.leases();
  const latest = waiting.reduce((epoch, { condemnedEpoch }) => Math.max(epoch, condemnedEpoch), 0);
  const blocking = new Set(
    waiting.length === 0 ? [] : blockersOf(spec, view.index.storage.identity, { alive, dead: [], unreadable }, latest),
  );
  const found: GcReport['blockedBy'] = [];
  for (const lease of alive.sort((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1))) {
    const changes = blocking.has(lease.id);
    const versions = held > 0 && holdsRemoved(lease, view.index);
    if (!changes && !versions) continue;
    const holds = changes && versions ? 'both' : changes ? 'changes' : 'versions';
    found.push({ lease: lease.id, pid: lease.pid, since: new Date(lease.createdAtMs), holds });
  }
  if (waiting.length > 0 || held > 0)
    found.push(...unreadable.sort().map((id) => ({ lease: id, pid: null, since: null, holds: 'both' as const })));
  return found;
}

/** Whether versions that are in no history any more are kept for this one. */
function holdsRemoved({ since, pins }: Lease, index: IndexReader): boolean {
  for (const { seq } of index.removedSnapshots()) if (seq > since) return true;
  const volumes = pins.length === 0 ? [] : index.volumes();
  return pins.some((pin) => volumes.every(({ id }) => index.generationOf(id, pin) === undefined));
}

function troubledMounts(index: IndexReader, mounts: KnownMounts): Pick<GcReport, 'lostMounts' | 'unreadableMounts'> {
  return {
    lostMounts: lostMounts(mounts).map(({ id, dir, volume }) => ({ mount: id, dir, volume: index.volumeById(volume)?.name ?? null })),
    unreadableMounts: mounts.unreadable.map(({ id, folder, why }) => ({ mount: id, dir: folder ?? null, why: why.message })),
  };
}

/** Bytes of the packs that are to be deleted once nobody can refer to them any more. */
export function condemnedBytes(index: IndexReader): number {
  return sizeOf(condemned(index));
}

function* condemned(index: IndexReader): Generator<LeavingPack> {
  for (const { id, condemnedEpoch } of [...index.absentPacks()])
    if (condemnedEpoch > 0) yield { condemnedEpoch, sizeBytes: index.pack(id)?.sizeBytes ?? 0 };
}

export function sizeOf(packs: Iterable<{ sizeBytes: number }>): number {
  let bytes = 0;
  for (const { sizeBytes } of packs) bytes += sizeBytes;
  return bytes;
}
