import type { Damage } from '../errors.js';
import type { Hasher } from '../hash/hasher.js';
import { unlessDamaged } from '../errors.js';
import { damageOf, listSeqs, newestTable, readJournalFile } from './journal.js';
import { decodeChange, type JournalEntry } from './journal-file.js';
import type { RefTable } from './ref-table.js';

/** Numbers of changes, both ends included, that the journal does not tell. */
export interface Hole {
  readonly from: number;
  readonly to: number;
}

/** What the files of a journal tell, for whoever has to make up for those that do not. */
export interface JournalFacts {
  /** The newest full table that can be read. */
  readonly base: RefTable;
  /** The changes after it that can be read, in their order. */
  readonly changes: readonly JournalEntry[];
  readonly holes: readonly Hole[];
  /** Number of the newest change that there is a file of; 0 before the first. */
  readonly newest: number;
  /** Numbers of the files in which something is damaged, also of those that are not needed. */
  readonly damaged: readonly number[];
  readonly damage: readonly Damage[];
}

/** @throws what keeps the folder from being listed or a file from being read; StoreFormatError */
export function journalFacts(refsDir: string, hasher: Hasher): JournalFacts {
  const seqs = listSeqs(refsDir);
  const base = newestTable(refsDir, seqs, hasher, []);
  const changes: JournalEntry[] = [];
  const holes: Hole[] = [];
  let last = base.seq;
  for (const seq of seqs) {
    if (seq <= base.seq) continue;
    const entry = unlessDamaged(() => decodeChange(readJournalFile(refsDir, seq), seq, hasher));
    if (entry === undefined) continue;
    if (seq > last + 1) holes.push({ from: last + 1, to: seq - 1 });
    changes.push(entry);
    last = seq;
  }
  const newest = seqs.at(-1) ?? 0;
  if (newest > last) holes.push({ from: last + 1, to: newest });
  const found = seqs.map((seq) => ({ seq, damage: damageOf(refsDir, seq, hasher) })).filter(({ damage }) => damage.length > 0);
  return { base, changes, holes, newest, damaged: found.map(({ seq }) => seq), damage: found.flatMap(({ damage }) => damage) };
}

/** How many changes are missing, up to one. */
export function missingUpTo(holes: readonly Hole[], seq: number): number {
  return holes.reduce((sum, { from, to }) => sum + Math.max(0, Math.min(to, seq) - from + 1), 0);
}
