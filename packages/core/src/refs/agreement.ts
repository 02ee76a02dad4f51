import type { DigestHex } from '../hash/digest.js';
import type { KnownVolume, LenientReplay } from './lenient-replay.js';
import type { RefTable, VolumeState } from './ref-table.js';

/** What an index told, as far as its records have sound check values. */
export interface ToldRefs {
  readonly table: RefTable;
  /** Nothing was passed over, and what it tells twice it tells alike: what it does not tell was not there. */
  readonly whole: boolean;
  /** It knows packs that are there. */
  readonly knowsPacks: boolean;
}

/** Undefined where two accounts cannot both be true. */
type Count = number | undefined;

/**
 * How many changes, at least, must be missing between the changes that are known and what an index told; undefined where what is
 * known says otherwise. An index of another store, or of one that went other ways, is told from the right one by this.
 *
 * @param isMissingAfter whether a change after that number is missing
 */
export function changesBetween(known: LenientReplay, { table, whole }: ToldRefs, isMissingAfter: (seq: number) => boolean): Count {
  const seen = { added: new Set(known.ever), gone: new Set<DigestHex>() };
  let count = 0;
  for (const told of table.volumes.values()) {
    if (known.deleted.has(told.id)) return undefined;
    const volume = known.volumes.get(told.id);
    const more: Count = volume === undefined ? 1 + added(told, new Map(), seen.added) + told.tags.size : between(volume, told);
    if (more === undefined) return undefined;
    count += more;
  }
  for (const volume of known.volumes.values()) {
    if (!whole || table.volumes.has(volume.id)) continue;
    // Whatever was done to it last came before it was deleted.
    if (!isMissingAfter(known.lastOf(volume))) return undefined;
    count++;
  }
  return count;

  function between(volume: KnownVolume, told: VolumeState): Count {
    for (const [generation, snapshot] of told.generations)
      if (volume.pruned.has(generation) || (volume.generations.get(generation) ?? snapshot) !== snapshot) return undefined;
    let changes = added(told, volume.generations, seen.added);
    const parts = [removed(volume, told), volume.name === told.name ? 0 : changed(volume, 'name'), tags(volume, told)];
    for (const part of parts) {
      if (part === undefined) return undefined;
      changes += part;
    }
    return changes;
  }

  function removed(volume: KnownVolume, told: VolumeState): Count {
    if (!whole) return 0;
    const left = new Set(told.generations.map(([generation]) => generation));
    let isNew = false;
    for (const [generation, snapshot] of volume.generations) {
      if (left.has(generation)) continue;
      if (!isMissingAfter(known.sinceOf(volume.id, `generation ${generation}`))) return undefined;
      if (!seen.gone.has(snapshot)) isNew = true;
      seen.gone.add(snapshot);
    }
    return isNew ? 1 : 0;
  }

  function tags(volume: KnownVolume, told: VolumeState): Count {
    let changes = 0;
    for (const tag of new Set([...volume.tags.keys(), ...told.tags.keys()])) {
      if (volume.tags.get(tag) === told.tags.get(tag) || (!whole && !told.tags.has(tag))) continue;
      if (changed(volume, `tag ${tag}`) === undefined) return undefined;
      changes++;
    }
    return changes;
  }

  function changed(volume: KnownVolume, what: string): Count {
    return isMissingAfter(known.sinceOf(volume.id, what)) ? 1 : undefined;
  }
}

/** Versions that are not among those known, each counted once however many forks have it. */
function added(told: VolumeState, known: ReadonlyMap<number, DigestHex>, seen: Set<DigestHex>): number {
  const fresh = told.generations.filter(([generation, snapshot]) => !known.has(generation) && !seen.has(snapshot));
  for (const [, snapshot] of fresh) seen.add(snapshot);
  return fresh.length;
}
