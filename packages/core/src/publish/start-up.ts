import { assertIndexCurrent } from '../index/current.js';
import { writeIndex } from '../index/transaction.js';
import { catchUp } from './change-refs.js';
import { changeVolume } from './change-volume.js';
import { type Leases, listLeases, removeDeadOwners } from './leases.js';
import { orphans } from './leftovers.js';
import type { PublishParts, RefParts } from './parts.js';

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
export function removeOrphans(parts: RefParts, leases = (): Leases => listLeases(parts.layout)): void {
  parts.reader.refresh();
  for (const { id } of orphans(parts.reader, leases, parts.lease))
    changeVolume(parts, { type: 'volume-deleted', volumeId: id }, { allowMissing: true });
}
