import { assertIndexCurrent } from '../index/current.js';
import { writeIndex } from '../index/transaction.js';
import { catchUp } from './change-refs.js';
import { changeVolume } from './change-volume.js';
import { listLeases, removeDeadOwners } from './leases.js';
import type { PublishParts } from './parts.js';

/** What the thread does before its first write: checks that index and journal belong together, and clears up after dead processes. */
export function startUp(parts: PublishParts): void {
  // A new index file must not be lost with its name.
  parts.disk.syncDirectory(parts.layout.indexDir);
  assertIndexCurrent(parts.reader, parts.layout.refsDir);
  writeIndex(parts.env, (index) => {
    catchUp(parts, index);
    parts.journal.removeLeftovers();
  });
  removeDeadOwners(parts);
  removeOrphans(parts);
  parts.env.checkReaders();
  // A store that is gone with its process needs none.
  if (parts.config.disk.durable) parts.reserve.refill();
}

/** Deletes ephemeral volumes whose owners are gone. */
export function removeOrphans(parts: PublishParts): void {
  parts.reader.refresh();
  const volumes = parts.reader.volumes().filter(({ ephemeralOwner }) => ephemeralOwner !== undefined);
  if (volumes.length === 0) return;
  // Listed after the volumes: a lease is written before what belongs to it.
  const { alive, unreadable } = listLeases(parts.layout);
  const owners = new Set([...alive.map((lease) => lease.id), ...unreadable, parts.lease]);
  for (const { id, ephemeralOwner } of volumes) {
    if (owners.has(ephemeralOwner ?? '')) continue;
    changeVolume(parts, { type: 'volume-deleted', volumeId: id }, { allowMissing: true });
  }
}
