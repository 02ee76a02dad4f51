import { DamageError } from '../errors.js';
import { newestSeq } from '../refs/journal.js';
import type { IndexReader } from './reader.js';

/**
 * Checks that an index belongs to the journal beside it: a lost or old one would make the store look empty or rolled back.
 * One change more in the journal is a commit on its way, or of a process that died.
 * @throws DamageError
 */
export function assertIndexCurrent(reader: IndexReader, refsDir: string): void {
  const newest = newestSeq(refsDir);
  reader.refresh();
  const { seq } = reader.state();
  if (newest > seq + 1) throw outdatedIndex(seq);
}

/** An index that misses more than the one change that may be on its way is not the one that the journal was written with. */
export function outdatedIndex(seq: number): DamageError {
  return new DamageError(`the index ends at change ${seq} of the ref journal, which goes on: it is lost or old, and repair makes it anew`, [
    { kind: 'index', id: 'index/data.mdb', affects: [] },
  ]);
}
