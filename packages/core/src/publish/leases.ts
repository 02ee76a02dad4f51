import { writeIndex } from '../index/transaction.js';
import type { LeaseRecord } from '../index/records.js';
import { listIncoming } from '../pack/list-packs.js';
import type { PublishParts } from './parts.js';
import { isDead, thisProcess } from './process-identity.js';

/**
 * Makes it known, durably, that this engine lives: before its first unfinished pack, which would else look like a dead
 * process's.
 */
export function ensureLease(parts: PublishParts): void {
  parts.reader.refresh();
  if (parts.reader.lease(parts.lease) !== undefined) return;
  writeIndex(parts.env, (transaction) => {
    transaction.putLease({ id: parts.lease, ...thisProcess(), createdAtMs: Date.now(), epoch: transaction.reader.state().epoch });
  });
}

export function removeOwnLease(parts: PublishParts): void {
  parts.reader.refresh();
  if (parts.reader.lease(parts.lease) === undefined) return;
  writeIndex(parts.env, (transaction) => transaction.removeLease(parts.lease));
}

/** Removes the unfinished packs of processes that are dead, and their leases. */
export function removeDeadOwners(parts: PublishParts): void {
  // In this order: a lease is written before its first file, so a file that is listed has its lease in what is read then.
  const files = listIncoming(parts.layout);
  parts.reader.refresh();
  const self = thisProcess();
  const leases = parts.reader.leases();
  const dead = leases.filter((lease) => lease.id !== parts.lease && isDead(lease, self));
  const alive = livingOwners(leases, dead);
  for (const file of files) if (!alive.has(file.owner)) discard(parts, file.path);
  if (dead.length > 0) {
    writeIndex(parts.env, (transaction) => {
      for (const lease of dead) transaction.removeLease(lease.id);
    });
  }
}

function livingOwners(leases: LeaseRecord[], dead: LeaseRecord[]): Set<string> {
  const living = new Set(leases.map((lease) => lease.id));
  for (const lease of dead) living.delete(lease.id);
  return living;
}

/** Another process may have removed it a moment ago; what stays is met again by the next one. */
function discard(parts: PublishParts, path: string): void {
  try {
    parts.disk.unlink(path);
  } catch {
    // harmless: worthless bytes
  }
}
