import { collectDamage, type Damage } from '../errors.js';
import { digestToHex } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import type { IndexReader } from '../index/reader.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { newestSeq, readJournal, readJournalFile } from '../refs/journal.js';
import { decodeChange, decodeTable, TABLE_INTERVAL } from '../refs/journal-file.js';
import type { VolumeState } from '../refs/ref-table.js';

/**
 * Where index and ref journal tell different heads, histories, names or tags. A journal that is one change ahead is a
 * commit under way.
 */
export function compareWithJournal(layout: StoreLayout, index: IndexReader, hasher: Hasher): Damage[] {
  const before = stateOf(index);
  const { table, damage } = readJournal(layout.refsDir, hasher);
  damage.push(...damagedFallback(layout.refsDir, hasher));
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

/** Damage to what a rebuild falls back on when it cannot read the newest full table: the one before, and the changes between. */
function damagedFallback(refsDir: string, hasher: Hasher): Damage[] {
  const newest = newestTableSeq(refsDir);
  const damage: Damage[] = [];
  for (let seq = Math.max(1, newest - TABLE_INTERVAL); seq < newest; seq++) {
    collectDamage(damage, () => {
      const bytes = readJournalFile(refsDir, seq);
      decodeChange(bytes, seq, hasher);
      if (seq % TABLE_INTERVAL === 0) decodeTable(bytes, seq, hasher);
    });
  }
  // Once there is a newer table, its writer has begun to remove these.
  return newestTableSeq(refsDir) === newest ? damage : [];
}

function newestTableSeq(refsDir: string): number {
  const newest = newestSeq(refsDir);
  return newest - (newest % TABLE_INTERVAL);
}
