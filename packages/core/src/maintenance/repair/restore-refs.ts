import type { Disk } from '../../disk/disk.js';
import { unlessDamaged, type Damage } from '../../errors.js';
import { digestToHex } from '../../hash/digest.js';
import { ObjectKind } from '../../hash/object-kind.js';
import type { IndexEnvironment } from '../../index/environment.js';
import type { IndexReader } from '../../index/reader.js';
import { toldRefs } from '../../index/told-refs.js';
import { ObjectReader } from '../../objects/object-reader.js';
import type { Version } from '../../refs/fill-from-versions.js';
import { damagedChange, TABLE_INTERVAL } from '../../refs/journal-file.js';
import { journalFacts, type JournalFacts } from '../../refs/journal-facts.js';
import { listSeqs, RefJournal } from '../../refs/journal.js';
import { recoverRefs, type Recovered } from '../../refs/recover.js';
import type { RefTable, VolumeId } from '../../refs/ref-table.js';
import { decodeSnapshotRecord } from '../../snapshot/record.js';
import type { JournalRepair } from '../../types.js';
import { damagedFallback } from '../compare-journal.js';
import type { NewIndex } from './new-index.js';
import type { PackAccess } from './survey.js';

/** Heads, histories, names and tags as a repair knows them, and what that takes to be written down. */
export interface RestoredRefs {
  readonly table: RefTable;
  /** The journal does not tell all of it, or would not after some more damage: a full table has to begin it anew. */
  readonly isNew: boolean;
  /** Numbers of the damaged files of the journal. */
  readonly damaged: readonly number[];
  readonly report: JournalRepair;
  /** Changes that stay unknown. */
  readonly damage: Damage[];
}

/**
 * Finds out all that can be known of the refs.
 *
 * @param index the new one, which finds what lies in packs
 * @param old the index that there was, as far as it can be opened; it is not trusted
 */
export function restoreRefs(access: PackAccess, index: IndexReader, old: IndexEnvironment | undefined): RestoredRefs {
  const { layout, hasher } = access;
  const journal = journalFacts(layout.refsDir, hasher);
  const told = old === undefined ? undefined : unlessDamaged(() => toldRefs(old, (pack) => index.pack(pack) !== undefined));
  let known: Version[] | undefined;
  const recovered = recoverRefs(journal, told, () => (known ??= [...versionsIn(access, index)]));
  const isNew = recovered.missing > 0 || journal.damaged.length > 0 || damagedFallback(layout.refsDir, hasher).length > 0;
  return {
    table: { ...recovered.table, seq: newestOf(journal, recovered.table.seq) },
    isNew,
    damaged: journal.damaged,
    report: reportOf(recovered),
    damage: recovered.holes.flatMap(({ from }) => damagedChange(from, 'its change is not known').damage),
  };
}

/**
 * Writes down what was found out, and sets aside what is damaged. Only once the new index is in place: who has the old one open would go
 * on with numbers that come before that of the new table. Returns the names of what was set aside, relative to the store.
 */
export function writeRestored(disk: Disk, { layout, hasher }: PackAccess, index: NewIndex, { isNew, damaged }: RestoredRefs): string[] {
  const journal = new RefJournal(disk, layout, hasher);
  let isComplete = true;
  if (isNew) {
    index.writeDown((table) => {
      // Somebody who had begun before the old index was gone: his change is brought in by the next one, and another repair writes all down.
      isComplete = newestSound(layout.refsDir, damaged) <= table.seq;
      if (!isComplete) return undefined;
      const seq = (Math.floor(table.seq / TABLE_INTERVAL) + 1) * TABLE_INTERVAL;
      const isWritten = journal.write(seq, { type: 'restored' }, () => ({ ...table, seq }));
      if (!isWritten) throw new Error(`change ${seq} was there already`);
      return seq;
    });
  }
  return isComplete ? damaged.map((seq) => journal.quarantine(seq)) : [];
}

function newestSound(refsDir: string, damaged: readonly number[]): number {
  return listSeqs(refsDir).findLast((seq) => !damaged.includes(seq)) ?? 0;
}

/** The number that the refs have. A damaged file may have any name: one beyond all reason is not counted on from. */
function newestOf({ changes, base }: JournalFacts, newest: number): number {
  return Number.isSafeInteger(newest * 2) ? newest : (changes.at(-1)?.seq ?? base.seq);
}

function reportOf({ table, missing, fromIndex, fromPacks, unknown, unplaced }: Recovered): JournalRepair {
  const nameOf = (id: VolumeId): string => table.volumes.get(id)?.name ?? id;
  const named = (versions: readonly Version[]): JournalRepair['fromPacks'] =>
    versions.map(({ volumeId, id }) => ({ volume: nameOf(volumeId), snapshot: id }));
  return { missing, fromIndex, fromPacks: named(fromPacks), unknown, unplaced: named(unplaced) };
}

/** What all snapshot records in packs that are whole tell. */
function* versionsIn({ packs, hasher }: PackAccess, index: IndexReader): Generator<Version> {
  const nodes = new ObjectReader(index, packs, hasher, 0);
  for (const digest of index.digestsOf(ObjectKind.snapshot)) {
    const record = unlessDamaged(() => decodeSnapshotRecord(nodes.get(ObjectKind.snapshot, digest)));
    if (record === undefined) continue;
    const { volumeId, generation, parent, createdAtMs } = record;
    yield { id: digestToHex(digest), volumeId, generation, parent: parent === null ? null : digestToHex(parent), createdAtMs };
  }
}
