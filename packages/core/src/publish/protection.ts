import type { DiskSpec } from '../disk/disk.js';
import type { IndexIdentity } from '../index/storage.js';
import { type Leases, readsAnotherIndex } from './leases.js';
import type { PublishParts } from './parts.js';

/* What leases keep from a collection. */

/** The leases that snapshots are kept for. One that cannot be read keeps all. */
export function protecting({ without }: DiskSpec, { alive, unreadable }: Leases): Leases['alive'] {
  if (without === 'leases') return [];
  const leases = without === 'removed' ? alive.map((lease) => ({ ...lease, since: Number.MAX_SAFE_INTEGER })) : alive;
  const anything = { since: 0, pins: [], pendingEpoch: 0, pid: 0, startTime: 0, bootId: '', pidNamespace: 0, createdAtMs: 0 };
  return [...leases, ...unreadable.map((id) => ({ id, ...anything, index: { dev: 0, ino: 0 } }))];
}

/** The ids of the leases for whose sake packs that were condemned in an epoch must stay. `index`: the one that collects. */
export function blockersOf({ without }: DiskSpec, index: IndexIdentity, { alive, unreadable }: Leases, condemnedEpoch: number): string[] {
  if (without === 'pending') return [];
  const blocking = alive.filter(
    (lease) =>
      (without !== 'index' && readsAnotherIndex(lease, index)) || (lease.pendingEpoch !== null && lease.pendingEpoch < condemnedEpoch),
  );
  return [...blocking.map(({ id }) => id), ...unreadable];
}

export function isBlocked({ config, env }: PublishParts, leases: Leases, condemnedEpoch: number): boolean {
  return blockersOf(config.disk, env.identity, leases, condemnedEpoch).length > 0;
}
