import { reads } from '../disk/reads.js';
import { type CairnError, type Damage, type DamageError, isCairnError, wrapIoError } from '../errors.js';
import type { Digest } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { readIfThere } from './durable-file.js';
import { readFolderId } from './folder-id.js';
import { FolderPlaces, isMountId, type MountId, StatePlaces } from './places.js';
import { decodeState, type MountState, rootsOf } from './state.js';

/** A mount whose state is damaged, or of a newer version: what it needs is not known. */
export interface UnreadableMount {
  id: MountId;
  why: CairnError;
  /** Where its folder was, as far as that can be read. */
  folder: string | undefined;
}

/** The mounts of a store as they are now. */
export interface KnownMounts {
  states: MountState[];
  unreadable: UnreadableMount[];
}

/** @throws CairnError of the disk: half a look proves nothing */
export function listMounts(mountsDir: string, hasher: Hasher): KnownMounts {
  const known: KnownMounts = { states: [], unreadable: [] };
  try {
    for (const id of reads.readdirSync(mountsDir)) {
      if (!isMountId(id)) continue;
      const bytes = readIfThere(new StatePlaces(mountsDir, id).state);
      if (bytes === undefined) continue;
      const state = stateOrWhyNot(bytes, id, hasher);
      if (isCairnError(state)) known.unreadable.push({ id, why: state, folder: (state as Partial<DamageError>).damage?.[0]?.folder });
      else known.states.push(state);
    }
  } catch (error) {
    throw wrapIoError(error, `cannot read the mounts in ${mountsDir}`);
  }
  return known;
}

function stateOrWhyNot(bytes: Uint8Array, id: MountId, hasher: Hasher): MountState | CairnError {
  try {
    return decodeState(bytes, id, hasher);
  } catch (error) {
    if (isCairnError(error, 'CAIRN_DAMAGED') || isCairnError(error, 'CAIRN_STORE_FORMAT')) return error;
    throw error;
  }
}

/** The manifest roots that mounts need, and with them all that a collection has to keep for their sake. */
export function mountRoots({ states }: KnownMounts): Digest[] {
  return states.flatMap(rootsOf);
}

/** What of a store's mounts is damaged. A state of a newer version is not. */
export function damagedMounts(mountsDir: string, hasher: Hasher): Damage[] {
  return listMounts(mountsDir, hasher).unreadable.flatMap(({ why }) => (why as Partial<DamageError>).damage ?? []);
}

/**
 * Mounts whose folder is not where it was used last. Whether it is gone nobody can tell from here: it may have been moved, with edits
 * in it, or lie on a disk that is not there at the moment.
 */
export function lostMounts({ states }: KnownMounts): MountState[] {
  return states.filter(({ id, dir }) => isLost(id, dir));
}

function isLost(id: string, dir: string): boolean {
  try {
    return readFolderId(new FolderPlaces(dir))?.id !== id;
  } catch {
    // What may not be looked at may be there.
    return false;
  }
}
