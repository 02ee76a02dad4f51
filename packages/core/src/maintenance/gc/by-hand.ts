import { removeTree } from '../../disk/trees.js';
import { InvalidArgumentError, StoreFormatError } from '../../errors.js';
import { setStateAside } from '../../mount/lost-state.js';
import { becomeOwner } from '../../mount/owner.js';
import { StatePlaces } from '../../mount/places.js';
import { type KnownMounts, listMounts, lostMounts, type UnreadableMount } from '../../mount/roots.js';
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

/**
 * Gives up what a mount needs whose folder is gone, or whose state is damaged. Only what the store knows of it is removed, and what is
 * damaged is set aside.
 * @throws as `givenUpMount`; MountOwnedError
 */
export async function forgetMount(parts: CollectParts, id: string): Promise<void> {
  const { layout, mountsDir, hasher, disk } = parts;
  const mount = givenUpMount(listMounts(mountsDir, hasher), id);
  const places = new StatePlaces(mountsDir, mount.id);
  const release = await becomeOwner(disk, places.dir, ('why' in mount ? mount.folder : mount.dir) ?? places.dir);
  try {
    if ('why' in mount) return void setStateAside(disk, layout, mount.id, hasher);
    disk.unlink(places.state);
    disk.syncDirectory(places.dir);
    removeTree(disk, places.dir);
  } finally {
    release();
  }
}

/**
 * The mount of that id, whose folder is gone or whose state is damaged.
 * @throws InvalidArgumentError where there is none; StoreFormatError for one of a newer version
 */
export function givenUpMount(mounts: KnownMounts, id: string): MountState | UnreadableMount {
  const unreadable = mounts.unreadable.find((mount) => mount.id === id);
  if (unreadable?.why instanceof StoreFormatError) throw unreadable.why;
  const mount = unreadable ?? lostMounts(mounts).find((lost) => lost.id === id);
  if (mount === undefined)
    throw new InvalidArgumentError(
      `there is no mount '${id}' without its folder, or with a damaged state`,
      "'cairn gc' names those that there are; 'cairn unmount DIR' ends one whose folder is there",
    );
  return mount;
}
