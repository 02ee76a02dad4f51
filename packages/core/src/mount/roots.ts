import fs from 'node:fs';
import type { Digest } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { readIfThere } from './durable-file.js';
import { readFolderId } from './folder-id.js';
import { FolderPlaces, isMountId, StatePlaces } from './places.js';
import { decodeState, type MountState, rootsOf } from './state.js';

/**
 * The manifest roots that the mounts of a store need, and with them all that a collection has to keep for their sake.
 * @param without a mount that does not count
 * @throws DamageError for a state that cannot be read: what it needs is not known then
 */
export function mountRoots(mountsDir: string, hasher: Hasher, without?: string): Digest[] {
  return [...mountStates(mountsDir, hasher)].filter(({ id }) => id !== without).flatMap(rootsOf);
}

/**
 * Mounts whose folder is not where it was used last. Whether it is gone nobody can tell from here: it may have been moved, with edits
 * in it, or lie on a disk that is not there at the moment.
 */
export function lostMounts(mountsDir: string, hasher: Hasher): MountState[] {
  return [...mountStates(mountsDir, hasher)].filter(({ id, dir }) => isLost(id, dir));
}

function* mountStates(mountsDir: string, hasher: Hasher): Generator<MountState> {
  for (const id of fs.readdirSync(mountsDir)) {
    if (!isMountId(id)) continue;
    const bytes = readIfThere(new StatePlaces(mountsDir, id).state);
    if (bytes !== undefined) yield decodeState(bytes, id, hasher);
  }
}

function isLost(id: string, dir: string): boolean {
  try {
    return readFolderId(new FolderPlaces(dir))?.id !== id;
  } catch {
    // What may not be looked at may be there.
    return false;
  }
}
