import path from 'node:path';
import { reads } from '../disk/reads.js';
import { wrapIoError } from '../errors.js';
import type { IndexIdentity } from '../index/environment.js';
import { listIncoming } from '../pack/list-packs.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { decodeLease, type Lease } from './lease-file.js';
import type { PublishParts } from './parts.js';
import { isDead, type ProcessIdentity, thisProcess } from './process-identity.js';

const ID = /^[0-9a-f]{32}$/;

/** All leases of a store as they are now. */
export interface Leases {
  /** Of processes that live, or may: those of another pid namespace cannot be looked at. */
  alive: Lease[];
  /** Ids of leases whose owners are certainly gone. */
  dead: string[];
  /** Ids of leases that nobody can read: damaged, or of a newer version. They count as alive, and protect everything. */
  unreadable: string[];
}

/**
 * Reads all leases. Any error while listing is thrown: half a listing proves nothing. A lease that is written before something
 * is looked up is listed by everybody who comes later.
 */
export function listLeases(layout: StoreLayout, self: ProcessIdentity = thisProcess()): Leases {
  const leases: Leases = { alive: [], dead: [], unreadable: [] };
  // A name that is renamed over while a long folder is listed may be passed by once.
  for (const id of new Set([...leaseIds(layout), ...leaseIds(layout)])) {
    const bytes = readLease(layout.leasePath(id));
    // Given back since it was listed.
    if (bytes === undefined) continue;
    const lease = decodeLease(id, bytes);
    if (lease === undefined) (isTorn(bytes) ? leases.dead : leases.unreadable).push(id);
    else if (isDead(lease, self)) leases.dead.push(id);
    else leases.alive.push(lease);
  }
  return leases;
}

/** Leases are moved into place whole and not synced: one without bytes, or of zeros, is what a power cut left, of an earlier boot. */
function isTorn(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0);
}

/** Whether a lease is of an engine that has another index open: where that one says that objects lie, they must stay. */
export function readsAnotherIndex(lease: Lease, index: IndexIdentity): boolean {
  return lease.index.dev !== index.dev || lease.index.ino !== index.ino;
}

/** Removes the unfinished packs of processes that are dead, and their leases. */
export function removeDeadOwners(parts: PublishParts): void {
  // In this order: a lease is written before its first file, so a file that is listed has its lease in what is read then.
  const files = listIncoming(parts.layout);
  const { alive, dead, unreadable } = listLeases(parts.layout);
  const owners = new Set([...alive.map((lease) => lease.id), ...unreadable, parts.lease]);
  for (const file of files) if (!owners.has(file.owner)) discard(parts, file.path);
  for (const id of dead) discard(parts, parts.layout.leasePath(id));
}

/** Another process may have removed it a moment ago; what stays is met again by the next one. */
export function discard({ disk }: Pick<PublishParts, 'disk'>, file: string): void {
  try {
    disk.unlink(file);
  } catch {
    // harmless: worthless bytes
  }
}

function leaseIds({ leasesDir }: StoreLayout): string[] {
  try {
    return reads.readdirSync(leasesDir).filter((name) => ID.test(name));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw wrapIoError(error, `cannot list ${leasesDir}`);
  }
}

function readLease(file: string): Uint8Array | undefined {
  try {
    return reads.readFileSync(file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw wrapIoError(error, `cannot read the lease ${path.basename(file)}`);
  }
}
