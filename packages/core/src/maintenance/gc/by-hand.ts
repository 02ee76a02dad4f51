import fs from 'node:fs';
import { InvalidArgumentError } from '../../errors.js';
import { becomeOwner } from '../../mount/owner.js';
import { StatePlaces } from '../../mount/places.js';
import { lostMounts } from '../../mount/roots.js';
import type { MountState } from '../../mount/state.js';
import { listLeases } from '../../publish/leases.js';
import type { CollectParts } from './parts.js';

/*
 * What no collection can know, and somebody says: that a process is gone which cannot be looked at, or a folder that is not where it was.
 */

/** Gives up what a lease protects, of a process that is known to be gone, and cannot be looked at. @throws InvalidArgumentError */
export function breakLease(parts: CollectParts, id: string): void {
  assertBreakable(parts, id);
  parts.disk.unlink(parts.layout.leasePath(id));
}

/** @throws InvalidArgumentError where there is no such lease, or it is this engine's own. */
export function assertBreakable({ layout, lease }: CollectParts, id: string): void {
  const { alive, unreadable } = listLeases(layout);
  if (id === lease.id || !(alive.some((other) => other.id === id) || unreadable.includes(id)))
    throw new InvalidArgumentError(`there is no lease '${id}' to break`, "'cairn gc' names those that it waits for");
}

/** Gives up what a mount needs whose folder is gone. Only what the store knows of it is removed. @throws InvalidArgumentError, MountOwnedError */
export async function forgetMount(parts: CollectParts, id: string): Promise<void> {
  const { mountsDir, disk } = parts;
  const lost = lostMount(parts, id);
  const places = new StatePlaces(mountsDir, lost.id);
  const release = await becomeOwner(disk, places.dir, lost.dir);
  try {
    disk.unlink(places.state);
    disk.syncDirectory(places.dir);
    fs.rmSync(places.dir, { recursive: true, force: true });
  } finally {
    release();
  }
}

/** The mount of that id, whose folder is gone. @throws InvalidArgumentError where there is none. */
export function lostMount({ mountsDir, hasher }: CollectParts, id: string): MountState {
  const lost = lostMounts(mountsDir, hasher).find((mount) => mount.id === id);
  if (lost === undefined)
    throw new InvalidArgumentError(
      `there is no mount '${id}' without its folder`,
      "'cairn gc' names those that there are; 'cairn unmount DIR' ends one whose folder is there",
    );
  return lost;
}
