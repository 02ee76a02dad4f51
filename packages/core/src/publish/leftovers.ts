import type { IndexReader } from '../index/reader.js';
import type { VolumeRecord } from '../index/records.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { type Leases, listLeases } from './leases.js';

/** Whether dead processes have left something that the first write of this one would clear up. `lease`: its own. */
export function hasLeftovers(layout: StoreLayout, index: IndexReader, lease: string): boolean {
  const leases = (): Leases => listLeases(layout);
  return leases().dead.length > 0 || orphans(index, leases, lease).length > 0;
}

/** Ephemeral volumes whose owners are gone. */
export function orphans(index: IndexReader, leases: () => Leases, lease: string): VolumeRecord[] {
  const volumes = index.volumes().filter(({ ephemeralOwner }) => ephemeralOwner !== undefined);
  if (volumes.length === 0) return [];
  // Listed after the volumes: a lease is written before what belongs to it.
  const { alive, unreadable } = leases();
  const owners = new Set([...alive.map(({ id }) => id), ...unreadable, lease]);
  return volumes.filter(({ ephemeralOwner }) => !owners.has(ephemeralOwner ?? ''));
}
