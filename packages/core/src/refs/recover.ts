import { changesBetween, type ToldRefs } from './agreement.js';
import { fillFromVersions, type Version } from './fill-from-versions.js';
import { missingUpTo, type Hole, type JournalFacts } from './journal-facts.js';
import { isSoundTable } from './journal-file.js';
import { LenientReplay } from './lenient-replay.js';
import type { RefTable } from './ref-table.js';

/** The refs of a store, and what of them the journal could not tell. */
export interface Recovered {
  readonly table: RefTable;
  /** Changes that the journal does not tell, or that do not fit. */
  readonly missing: number;
  /** Of these, changes that the old index knew. */
  readonly fromIndex: number;
  /** Versions that were found by their records in packs. */
  readonly fromPacks: readonly Version[];
  /** Missing changes that nothing made up for. */
  readonly unknown: number;
  /** Versions in packs that may have been in a history. */
  readonly unplaced: readonly Version[];
  /** The numbers of changes that are not all known. */
  readonly holes: readonly Hole[];
}

/**
 * All that can be known of heads, histories, names and tags: what the journal tells; where it has holes what an old index tells,
 * when that agrees with the rest of the journal; and what both leave open from the snapshot records in packs.
 *
 * @param versions the records in packs; asked for only when something is missing
 */
export function recoverRefs(journal: JournalFacts, told: ToldRefs | undefined, versions: () => Iterable<Version>): Recovered {
  const believed = told === undefined ? undefined : believable(journal, told, versions);
  const newest = Math.max(journal.newest, believed?.told.table.seq ?? 0);
  const holes = newest > journal.newest ? [...journal.holes, { from: journal.newest + 1, to: newest }] : journal.holes;
  const { replay, knownUpTo, additions } = replayed(journal, believed);
  const misfits = holes.length > 0 ? 0 : replay.misfits.length;
  const missing = missingUpTo(holes, newest) + misfits;
  const fromIndex = missingUpTo(holes, knownUpTo) + additions;
  const left = Math.max(0, missing - fromIndex);
  if (left === 0) return { table: replay.table(newest), missing, fromIndex, fromPacks: [], unknown: 0, unplaced: [], holes: [] };
  const { found, unplaced, changes } = fillFromVersions(replay, versions(), left);
  const unknown = left - changes;
  const open = [...holes.filter(({ to }) => to > knownUpTo), ...replay.misfits.slice(0, misfits).map((seq) => ({ from: seq, to: seq }))];
  return { table: replay.table(newest), missing, fromIndex, fromPacks: found, unknown, unplaced, holes: unknown === 0 ? [] : open };
}

/** An index that may be believed, and how many of the missing changes it knows. */
interface Believed {
  readonly told: ToldRefs;
  readonly changes: number;
}

/** Undefined for an index that tells nothing new, or what cannot be: an older one, a damaged one, another store's. */
function believable(journal: JournalFacts, told: ToldRefs, versions: () => Iterable<Version>): Believed | undefined {
  const { seq } = told.table;
  const beyond = Math.max(0, seq - journal.newest);
  const missing = missingUpTo(journal.holes, seq) + beyond;
  if (seq <= journal.base.seq || missing === 0 || !isSoundTable(told.table)) return undefined;
  const known = replayUpTo(journal, journal.base, seq);
  const isMissingAfter = (from: number): boolean => missing > missingUpTo(journal.holes, Math.min(from, seq));
  const changes = changesBetween(known, told, isMissingAfter);
  if (changes === undefined || changes > missing) return undefined;
  return isOfThisStore(told, known, versions) ? { told, changes } : undefined;
}

/** Whether packs hold one of the versions that only the index tells of; where it tells of none, whether it knows packs or volumes of this store. */
function isOfThisStore({ table: { volumes }, knowsPacks }: ToldRefs, known: LenientReplay, versions: () => Iterable<Version>): boolean {
  const told = [...volumes.values()].flatMap(({ generations }) => generations.map(([, snapshot]) => snapshot));
  const added = new Set(told.filter((snapshot) => !known.ever.has(snapshot)));
  if (added.size === 0) return knowsPacks || known.volumes.size === 0 || [...volumes.keys()].some((id) => known.volumes.has(id));
  for (const { id } of versions()) if (added.has(id)) return true;
  return false;
}

/** The changes that are known, on top of what the index told where that is whole, else with what it told added. */
function replayed(journal: JournalFacts, believed: Believed | undefined): { replay: LenientReplay; knownUpTo: number; additions: number } {
  if (believed === undefined) return { replay: replayUpTo(journal, journal.base, Infinity), knownUpTo: journal.base.seq, additions: 0 };
  const { told, changes } = believed;
  const { seq } = told.table;
  if (told.whole) {
    const replay = replayUpTo(journal, told.table, Infinity);
    for (const { change } of journal.changes) if (change.type === 'volume-deleted') replay.deleted.add(change.volumeId);
    return { replay, knownUpTo: seq, additions: 0 };
  }
  const replay = replayUpTo(journal, journal.base, seq);
  add(replay, told.table);
  for (const entry of journal.changes) if (entry.seq > seq) replay.apply(entry);
  return { replay, knownUpTo: journal.base.seq, additions: changes };
}

function replayUpTo(journal: JournalFacts, base: RefTable, last: number): LenientReplay {
  const replay = new LenientReplay(base);
  for (const entry of journal.changes) if (entry.seq > base.seq && entry.seq <= last) replay.apply(entry);
  return replay;
}

function add(replay: LenientReplay, { volumes }: RefTable): void {
  for (const told of volumes.values()) {
    const volume = replay.volumes.get(told.id) ?? replay.add(told.id);
    if (volume.name === undefined) replay.name(volume, told.name);
    if (volume.createdAtMs === 0) volume.createdAtMs = told.createdAtMs;
    if (told.ephemeralOwner !== undefined) volume.ephemeralOwner = told.ephemeralOwner;
    for (const [generation, snapshot] of told.generations)
      if (!volume.generations.has(generation)) replay.put(volume, generation, snapshot);
    for (const [tag, snapshot] of told.tags) if (!volume.tags.has(tag)) volume.tags.set(tag, snapshot);
  }
}
