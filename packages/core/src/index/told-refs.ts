import { unlessDamaged } from '../errors.js';
import { digestToHex, type DigestHex } from '../hash/digest.js';
import type { ToldRefs } from '../refs/agreement.js';
import type { PackId } from '../pack/pack-id.js';
import type { GenerationRef, VolumeId, VolumeState } from '../refs/ref-table.js';
import type { IndexEnvironment } from './environment.js';
import * as keys from './keys.js';
import { IndexReader } from './reader.js';
import * as records from './records.js';

/**
 * Heads, histories, names and tags as far as an index that may be damaged tells them: records whose check values do not hold are
 * passed over. Undefined when it does not say which changes of the journal it has. @throws DamageError where LMDB's own pages are damaged
 */
export function toldRefs(env: IndexEnvironment, isThere: (pack: PackId) => boolean): ToldRefs | undefined {
  const seq = unlessDamaged(() => new IndexReader(env).state().seq);
  if (seq === undefined) return undefined;
  const told = new Records(env);
  const histories = told.byVolume(keys.GENERATIONS, (key, value): GenerationRef => [
    keys.parseGenerationKey(key),
    digestToHex(records.decodeDigest(key, value)),
  ]);
  const byId = told.byVolume(keys.SNAPSHOTS, (key, value): GenerationRef => [
    records.decodeNumber(key, value),
    digestToHex(keys.parseSnapshotKey(key)),
  ]);
  const tags = told.byVolume(keys.TAGS, (key, value): [string, DigestHex] => [
    keys.parseTagKey(key),
    digestToHex(records.decodeDigest(key, value)),
  ]);
  const names = new Map(told.all(keys.NAMES, (key, value) => [records.decodeVolumeId(key, value), keys.parseNameKey(key)]));
  const volumes = new Map<VolumeId, VolumeState>();
  let whole = told.whole;
  for (const volume of told.all(keys.VOLUMES, (key, value) => records.decodeVolume(keys.parseVolumeKey(key), key, value))) {
    const history = new Map([...(byId.get(volume.id) ?? []), ...(histories.get(volume.id) ?? [])]);
    if (volume.head !== null) history.set(volume.generation, digestToHex(volume.head));
    const generations = [...history].sort(([a], [b]) => a - b);
    // What is told in two places: a record that LMDB hides is missing in one of them.
    const isTwice = [byId, histories].every((one) => sorted(one.get(volume.id)) === sorted(generations));
    whole &&= isTwice && names.get(volume.id) === volume.name && (generations.at(-1)?.[0] ?? 0) === volume.generation;
    volumes.set(volume.id, {
      id: volume.id,
      name: volume.name ?? '',
      createdAtMs: volume.createdAtMs,
      ...(volume.ephemeralOwner === undefined ? {} : { ephemeralOwner: volume.ephemeralOwner }),
      generations,
      tags: new Map(tags.get(volume.id)),
    });
  }
  const isKnown = (id: VolumeId): boolean => volumes.has(id);
  whole &&= told.whole && [...names.keys(), ...histories.keys(), ...byId.keys(), ...tags.keys()].every(isKnown);
  const knowsPacks = told.all(keys.PACKS, (key) => keys.parsePackKey(key)).some(isThere);
  return { table: { seq, volumes }, whole, knowsPacks };
}

function sorted(history: readonly GenerationRef[] = []): string {
  return [...history]
    .sort(([a], [b]) => a - b)
    .map(([generation, snapshot]) => `${generation} ${snapshot}`)
    .join();
}

/** Records of an index; notes when one is passed over. */
class Records {
  whole = true;
  private readonly env: IndexEnvironment;

  constructor(env: IndexEnvironment) {
    this.env = env;
  }

  all<T>(range: keys.KeyRange, decode: (key: Uint8Array, value: Uint8Array) => T): T[] {
    const found: T[] = [];
    for (const { key, value } of this.env.items(range)) {
      const plainKey = Uint8Array.from(key);
      const record = unlessDamaged(() => decode(plainKey, records.unseal(plainKey, value)));
      if (record === undefined) this.whole = false;
      else found.push(record);
    }
    return found;
  }

  byVolume<T>(range: keys.KeyRange, decode: (key: Uint8Array, value: Uint8Array) => T): Map<VolumeId, T[]> {
    const groups = new Map<VolumeId, T[]>();
    for (const { id, record } of this.all(range, (key, value) => ({ id: keys.parseVolumeKey(key), record: decode(key, value) }))) {
      const group = groups.get(id);
      if (group === undefined) groups.set(id, [record]);
      else group.push(record);
    }
    return groups;
  }
}
