import type { Damage } from '../errors.js';
import { digestToHex } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import type { IndexReader } from '../index/reader.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { readJournal } from '../refs/journal.js';
import type { VolumeState } from '../refs/ref-table.js';

/**
 * Where index and ref journal tell different heads, histories, names or tags. A journal that is one change ahead is a
 * commit under way.
 */
export function compareWithJournal(layout: StoreLayout, index: IndexReader, hasher: Hasher): Damage[] {
  const before = stateOf(index);
  const { table, damage } = readJournal(layout.refsDir, hasher);
  if (stateOf(index) !== before || table.seq !== before)
    return table.seq < before ? [...damage, { kind: 'index', id: 'refs', affects: [] }] : damage;
  const differs = (name: string): void => void damage.push({ kind: 'index', id: `volume ${name}`, affects: [] });
  const volumes = index.volumes();
  for (const volume of volumes) {
    const told = table.volumes.get(volume.id);
    if (told === undefined || !sameVolume(index, told)) differs(volume.name ?? volume.id);
  }
  for (const told of table.volumes.values()) if (!volumes.some((volume) => volume.id === told.id)) differs(told.name || told.id);
  return damage;
}

function stateOf(index: IndexReader): number {
  index.refresh();
  return index.state().seq;
}

function sameVolume(index: IndexReader, told: VolumeState): boolean {
  const generations = [...index.generations(told.id)].map(({ generation, snapshot }) => `${generation} ${digestToHex(snapshot)}`);
  const tags = index.tags(told.id).map(({ name, snapshot }) => `${name} ${digestToHex(snapshot)}`);
  return (
    (index.volumeById(told.id)?.name ?? '') === told.name &&
    generations.join() === told.generations.map(([generation, snapshot]) => `${generation} ${snapshot}`).join() &&
    tags.sort().join() ===
      [...told.tags]
        .map(([name, snapshot]) => `${name} ${snapshot}`)
        .sort()
        .join()
  );
}
