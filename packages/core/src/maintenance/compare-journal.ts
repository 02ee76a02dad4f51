import { DamageError, unlessDamaged, type Damage } from '../errors.js';
import { digestToHex } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import type { IndexReader } from '../index/reader.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { damageOf, newestSeq, readJournal, readJournalFile } from '../refs/journal.js';
import { decodeChange, TABLE_INTERVAL } from '../refs/journal-file.js';
import type { VolumeState } from '../refs/ref-table.js';

/**
 * Where index and ref journal tell different heads, histories, names or tags. A journal that is one change ahead is a
 * commit under way.
 */
export function compareWithJournal(layout: StoreLayout, index: IndexReader, hasher: Hasher): Damage[] {
  return [...differences(layout, index, hasher), ...damagedFallback(layout.refsDir, hasher)];
}

/**
 * For whoever takes away what the index does not tell of: that the journal tells of nothing else, and may not be hiding anything.
 * @throws DamageError
 */
export function assertJournalAgrees(layout: StoreLayout, index: IndexReader, hasher: Hasher): void {
  let damage = differences(layout, index, hasher);
  // A change that was taken back while it was being read looks like one that is missing.
  if (damage.length > 0) damage = differences(layout, index, hasher);
  if (damage.length === 0) return;
  const what = damage.map(({ id }) => id).join(', ');
  throw new DamageError(`nothing is collected while ref journal and index do not both tell of all versions (${what})`, damage);
}

function differences(layout: StoreLayout, index: IndexReader, hasher: Hasher): Damage[] {
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

/** Damage to what a rebuild falls back on when it cannot read the newest full table: the one before, and the changes between. */
export function damagedFallback(refsDir: string, hasher: Hasher): Damage[] {
  const newest = newestTableSeq(refsDir);
  const damage: Damage[] = [];
  const { type } =
    (newest === 0 ? undefined : unlessDamaged(() => decodeChange(readJournalFile(refsDir, newest), newest, hasher).change)) ?? {};
  // Of what came before a repair there may be too little to fall back on.
  if (type === 'restored') return [];
  for (let seq = Math.max(1, newest - TABLE_INTERVAL); seq < newest; seq++) damage.push(...damageOf(refsDir, seq, hasher));
  // Once there is a newer table, its writer has begun to remove these.
  return newestTableSeq(refsDir) === newest ? damage : [];
}

function newestTableSeq(refsDir: string): number {
  const newest = newestSeq(refsDir);
  return newest - (newest % TABLE_INTERVAL);
}
