import { DamageError, unlessDamaged } from '../errors.js';
import { objectMapKey, ObjectKind } from '../hash/object-kind.js';
import type { IndexTransaction } from '../index/transaction.js';
import { damagedObject } from '../objects/verified-object.js';
import type { StagedObject } from '../objects/staging.js';
import type { PackId } from '../pack/pack-id.js';
import { type Reference, referencesOf } from '../snapshot/references.js';
import type { RefParts } from './parts.js';

/** What must not be collected: objects that are new to the store, and published ones; and all that they need. */
export interface Needed {
  fresh?: readonly StagedObject[];
  published?: readonly Reference[];
}

/**
 * Sees to it that all that is needed is there, and stays: what a collection condemned meanwhile is kept.
 *
 * @param pendingEpoch of the engine whose objects these are: when there was no collection since, nothing can be missing.
 * @throws DamageError when something is gone.
 */
export function revive(parts: RefParts, index: IndexTransaction, needed: Needed, pendingEpoch: number | null): void {
  // What was absent when the references were made was not referred to, and damage that was there before is not for this one to tell.
  if (pendingEpoch !== null && pendingEpoch >= index.reader.state().epoch) return;
  const missing = reviveWhatIsLeft(parts, index, needed);
  if (missing.length > 0) {
    const damage = missing.map(({ kind, digest }) => damagedObject(kind, digest, 'is gone').damage).flat();
    throw new DamageError('something that these changes refer to was collected: the lease of this process was broken, or lost', damage);
  }
}

/**
 * The same where nobody can be told: returns what is gone. Below an object in a pack that counts as present everything is
 * present, so the walk ends there: it costs by what is new, and by what is kept.
 */
export function reviveWhatIsLeft(parts: RefParts, index: IndexTransaction, { fresh = [], published = [] }: Needed): Reference[] {
  if (parts.config.disk.without === 'revive') return [];
  const packs = new Set<PackId>();
  const missing: Reference[] = [];
  const seen = new Set<string>();
  const waiting: Reference[] = [...published];
  for (const object of fresh) {
    seen.add(objectMapKey(object.kind, object.digest));
    waiting.push(...referencesOf(object.kind, object.bytes));
  }
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const key = objectMapKey(next.kind, next.digest);
    if (seen.has(key)) continue;
    seen.add(key);
    const location = index.reader.locate(next.kind, next.digest);
    if (location === undefined || index.reader.pack(location.pack) === undefined) missing.push(next);
    else if (index.reader.absentPack(location.pack) !== undefined) {
      packs.add(location.pack);
      if (next.kind !== ObjectKind.chunk)
        waiting.push(...(unlessDamaged(() => referencesOf(next.kind, parts.objects.get(next.kind, next.digest))) ?? []));
    }
  }
  index.retainPacks(packs);
  return missing;
}
