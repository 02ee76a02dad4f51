import { unlessDamaged } from '../errors.js';
import { ObjectKind } from '../hash/object-kind.js';
import { outdatedIndex } from '../index/current.js';
import { IndexReader } from '../index/reader.js';
import { refTableOf } from '../index/ref-table.js';
import { type IndexTransaction, writeIndex } from '../index/transaction.js';
import type { StagedObject } from '../objects/staging.js';
import type { SealedPack } from '../pack/footer.js';
import { rows } from '../pack/object-table.js';
import { readFooter } from '../pack/read-footer.js';
import { TABLE_INTERVAL } from '../refs/journal-file.js';
import { applyChange, type RefChange } from '../refs/ref-table.js';
import type { RefParts } from './parts.js';
import { reviveWhatIsLeft } from './revive.js';

/** A transaction that may also change refs. */
export interface RefTransaction {
  readonly index: IndexTransaction;
  readonly reader: IndexReader;
  /** Writes one change, durably, to the journal and to the index; once at most. It counts when the transaction has committed. */
  record: (change: RefChange) => void;
}

/**
 * Runs `work` under the write lock, on top of everything that is in the journal. When it throws, neither index nor journal
 * has changed (unless the disk fails again while the change is taken back).
 */
export function changeRefs<T>(parts: RefParts, work: (transaction: RefTransaction) => T): T {
  let result: { value: T } | undefined;
  let recorded: number | undefined;
  try {
    writeIndex(parts.env, (index) => {
      catchUp(parts, index);
      const record = (change: RefChange): void => {
        const seq = index.reader.state().seq + 1;
        writeToJournal(parts, index, seq, change);
        recorded = seq;
        index.applyChange(change);
      };
      try {
        result = { value: work({ index, reader: index.reader, record }) };
      } catch (error) {
        if (recorded !== undefined) takeBack(parts, recorded);
        recorded = undefined;
        throw error;
      }
    });
  } catch (error) {
    // Written to the journal, and then the index refused to commit, for want of disk space most likely.
    if (recorded === undefined || result === undefined || !isApplied(parts, recorded)) throw error;
  }
  if (recorded !== undefined && recorded % TABLE_INTERVAL === 0) parts.journal.tidy(recorded);
  return result!.value;
}

/**
 * Applies the change of a process that died between writing it to the journal and committing it to the index. It was never
 * acknowledged, but somebody may have seen it in the journal, so it stands.
 */
export function catchUp(parts: RefParts, index: IndexTransaction): void {
  const entry = parts.journal.read(index.reader.state().seq + 1);
  if (entry === undefined) return;
  parts.journal.settle();
  const { change } = entry;
  if (change.type === 'head') {
    const pack = { id: change.pack, ...readFooter(parts.layout.packPath(change.pack), change.pack, parts.hasher) };
    index.putPack(pack, '');
    index.putObjects(pack.id, pack.table);
    keepNeeded(parts, index, pack);
  }
  index.applyChange(change);
  if (parts.journal.read(entry.seq + 1) !== undefined) throw outdatedIndex(entry.seq);
}

/** What its writer wanted back of what was condemned, it wanted back in the transaction that did not come to be. */
function keepNeeded(parts: RefParts, index: IndexTransaction, pack: SealedPack): void {
  if (index.reader.state().absentPacks === 0) return;
  const fresh: StagedObject[] = [];
  for (const { kind, digest } of rows(pack.table)) {
    const bytes = kind === ObjectKind.chunk ? undefined : unlessDamaged(() => parts.objects.get(kind, digest));
    if (bytes !== undefined) fresh.push({ kind, digest, bytes });
  }
  reviveWhatIsLeft(parts, index, { fresh });
}

function writeToJournal(parts: RefParts, index: IndexTransaction, seq: number, change: RefChange): void {
  const table = () => applyChange(refTableOf(index.reader), change);
  if (!parts.journal.write(seq, change, table)) throw new Error(`change ${seq} of the ref journal was written without the lock`);
}

/** What stays in the journal when this fails is applied by the next transaction of any process: as if its writer had died. */
function takeBack(parts: RefParts, seq: number): void {
  try {
    parts.journal.withdraw(seq);
  } catch {
    // the error that led here is the one to report
  }
}

/** Whether a change that is in the journal got into the index after all, by another process; else it is taken back. */
function isApplied(parts: RefParts, seq: number): boolean {
  let applied = false;
  parts.env.transaction(() => {
    applied = new IndexReader(parts.env).state().seq >= seq;
    if (!applied) takeBack(parts, seq);
  });
  return applied;
}
