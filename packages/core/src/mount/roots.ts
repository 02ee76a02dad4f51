import fs from 'node:fs';
import type { Digest } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { readIfThere } from './durable-file.js';
import { isMountId, StatePlaces } from './places.js';
import { decodeState, rootsOf } from './state.js';

/**
 * The manifest roots that the mounts of a store need, and with them all that a collection has to keep for their sake.
 * @throws DamageError for a state that cannot be read: what it needs is not known then
 */
export function mountRoots(mountsDir: string, hasher: Hasher): Digest[] {
  const roots: Digest[] = [];
  for (const id of fs.readdirSync(mountsDir)) {
    if (!isMountId(id)) continue;
    const bytes = readIfThere(new StatePlaces(mountsDir, id).state);
    if (bytes !== undefined) roots.push(...rootsOf(decodeState(bytes, id, hasher)));
  }
  return roots;
}
