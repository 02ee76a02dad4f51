import type { IndexReader } from '../../index/reader.js';
import { lostMounts } from '../../mount/roots.js';
import type { Lease } from '../../publish/lease-file.js';
import { listLeases, readsAnotherIndex } from '../../publish/leases.js';
import type { GcReport } from '../../types.js';
import type { Copied, CopyPlan } from './copies.js';
import type { CollectParts } from './parts.js';
import type { Plan } from './plan.js';

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
export function outcomeOf(parts: CollectParts, { before, held, plan, copied, freed }: Found & { copied: Copied; freed: number }): Outcome {
  const { index } = parts;
  index.refresh();
  const waiting = condemnedBytes(index) + sizeOf(index.doomedPacks());
  return {
    packsDropped: plan.drop.length,
    packsRewritten: copied.done.size,
    packsWritten: copied.packs.length,
    before,
    freed: freed - sizeOf(copied.packs),
    live: index.state().packBytes - condemnedBytes(index),
    waiting,
    held,
    blockedBy: blockers(parts, { waiting, held }),
    lostMounts: mountsThatAreLost(parts),
  };
}

/** What a collection would do. */
export function foreseen(parts: CollectParts, { before, held, plan, copies }: Found & { copies: readonly CopyPlan[] }): Outcome {
  const { index } = parts;
  const gone = sizeOf(plan.drop) + sizeOf(plan.rewrite);
  const written = sizeOf(copies);
  const doomed = sizeOf(index.doomedPacks());
  const waits = blockers(parts, { waiting: gone + doomed, held: 0 }).length > 0;
  const waiting = waits ? gone + doomed : 0;
  return {
    packsDropped: plan.drop.length,
    packsRewritten: plan.rewrite.length,
    packsWritten: copies.length,
    before,
    freed: (waits ? 0 : gone + doomed) - written,
    live: index.state().packBytes - gone + written,
    waiting,
    held,
    blockedBy: blockers(parts, { waiting, held }),
    lostMounts: mountsThatAreLost(parts),
  };
}

/** Who keeps what from being freed: condemned packs from being deleted, or removed versions from being forgotten. */
function blockers(parts: CollectParts, { waiting, held }: { waiting: number; held: number }): GcReport['blockedBy'] {
  const { alive, unreadable } = listLeases(parts.layout);
  const found: GcReport['blockedBy'] = [];
  for (const lease of alive) {
    const changes = waiting > 0 && mayDelay(lease, parts);
    const versions = held > 0 && holdsRemoved(lease, parts.index);
    if (!changes && !versions) continue;
    const holds = changes && versions ? 'both' : changes ? 'changes' : 'versions';
    found.push({ lease: lease.id, pid: lease.pid, since: new Date(lease.createdAtMs), holds });
  }
  if (waiting + held > 0) found.push(...unreadable.map((id) => ({ lease: id, pid: null, since: null, holds: 'both' as const })));
  return found;
}

/** Whether what is condemned waits for this one. */
function mayDelay(lease: Lease, { lease: own }: CollectParts): boolean {
  return lease.pendingEpoch !== null || (lease.id !== own.id && readsAnotherIndex(lease, own.index));
}

/** Whether versions that are in no history any more are kept for this one. */
function holdsRemoved({ since, pins }: Lease, index: IndexReader): boolean {
  for (const { seq } of index.removedSnapshots()) if (seq > since) return true;
  const volumes = pins.length === 0 ? [] : index.volumes();
  return pins.some((pin) => volumes.every(({ id }) => index.generationOf(id, pin) === undefined));
}

function mountsThatAreLost({ mountsDir, hasher, index }: CollectParts): GcReport['lostMounts'] {
  return lostMounts(mountsDir, hasher).map(({ id, dir, volume }) => ({ mount: id, dir, volume: index.volumeById(volume)?.name ?? null }));
}

/** Bytes of the packs that are to be deleted once nobody can refer to them any more. */
export function condemnedBytes(index: IndexReader): number {
  let bytes = 0;
  for (const { id, condemnedEpoch } of [...index.absentPacks()]) if (condemnedEpoch > 0) bytes += index.pack(id)?.sizeBytes ?? 0;
  return bytes;
}

export function sizeOf(packs: Iterable<{ sizeBytes: number }>): number {
  let bytes = 0;
  for (const { sizeBytes } of packs) bytes += sizeBytes;
  return bytes;
}
