import { basename, join } from 'node:path';
import type { Disk } from '../disk/disk.js';
import { reads } from '../disk/reads.js';
import { removeFile } from '../disk/trees.js';
import { isCairnError, unlessDamaged } from '../errors.js';
import type { Hasher } from '../hash/hasher.js';
import { freeName } from '../pack/quarantine.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { readIfThere } from './durable-file.js';
import { type MountId, StatePlaces } from './places.js';
import { decodeState } from './state.js';

/*
 * A state that is damaged goes to STORE/quarantine/mount-<id>.state, or mount-<id>-<number>.state where there is one already. That it is
 * there says that a folder with this id is a mount of this store, whatever else is lost of it.
 */

/** Where the damaged state of a mount would be set aside: a name within the store. */
export function nameAside({ quarantineDir }: StoreLayout, id: MountId): string {
  return `${basename(quarantineDir)}/${freeName(quarantineDir, (number) => asideName(id, number))}`;
}

/**
 * Moves the state of a mount to quarantine. Returns its name within the store; undefined, having changed nothing, when it is not
 * damaged any more, or gone: a process that owns the mount writes it anew with each step.
 */
export function setStateAside(disk: Disk, layout: StoreLayout, id: MountId, hasher: Hasher): string | undefined {
  const { dir, state } = new StatePlaces(layout.mountsDir, id);
  disk.mkdir(layout.quarantineDir);
  const name = nameAside(layout, id);
  const aside = join(layout.dir, name);
  if (!attempt(() => disk.rename(state, aside), 'ENOENT')) return undefined;
  const isWhole = unlessDamaged(() => decodeState(reads.readFileSync(aside), id, hasher)) !== undefined;
  if (isWhole) {
    attempt(() => disk.link(aside, state), 'EEXIST');
    removeFile(disk, aside);
  }
  disk.syncDirectory(layout.quarantineDir);
  disk.syncDirectory(dir);
  return isWhole ? undefined : name;
}

/** The bytes of the state of a mount that was set aside, of several the last one; undefined where none was. */
export function stateAside({ quarantineDir }: StoreLayout, id: MountId): Uint8Array | undefined {
  let last: Uint8Array | undefined;
  for (let number = 1; ; number++) {
    const bytes = readIfThere(join(quarantineDir, asideName(id, number)));
    if (bytes === undefined) return last;
    last = bytes;
  }
}

function asideName(id: MountId, number: number): string {
  return `mount-${id}${number === 1 ? '' : `-${number}`}.state`;
}

/** False when the action fails with this code: somebody else was there. */
function attempt(action: () => void, expected: string): boolean {
  try {
    action();
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === expected || isCairnError(error, expected as 'ENOENT' | 'EEXIST')) return false;
    throw error;
  }
}
