import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import type { Disk } from '../disk/disk.js';
import { reads } from '../disk/reads.js';
import { writeNewFile } from '../disk/write-file.js';
import { collectDamage, wrapIoError, type Damage } from '../errors.js';
import type { Hasher } from '../hash/hasher.js';
import { freeName } from '../pack/quarantine.js';
import type { StoreLayout } from '../pack/store-layout.js';
import {
  damagedChange,
  decodeChange,
  decodeTable,
  encodeJournalFile,
  journalName,
  seqOfName,
  TABLE_INTERVAL,
  type JournalEntry,
} from './journal-file.js';
import { applyChange, EMPTY_REF_TABLE, RefChangeError, type RefChange, type RefTable } from './ref-table.js';

const TEMPORARY = /^\.[0-9a-f]{16}\.tmp$/;

/**
 * The ref journal: one small immutable file per change of a head, tag, name or history. Together with the packs it is
 * the truth; the index can be rebuilt from it. All writes happen under the index's write lock.
 */
export class RefJournal {
  private readonly disk: Disk;
  private readonly refsDir: string;
  private readonly quarantineDir: string;
  private readonly hasher: Hasher;

  constructor(disk: Disk, { refsDir, quarantineDir }: Pick<StoreLayout, 'refsDir' | 'quarantineDir'>, hasher: Hasher) {
    this.disk = disk;
    this.refsDir = refsDir;
    this.quarantineDir = quarantineDir;
    this.hasher = hasher;
  }

  /** The change of that number, or undefined where there is none yet. @throws DamageError */
  read(seq: number): JournalEntry | undefined {
    return fs.existsSync(this.pathOf(seq)) ? decodeChange(readJournalFile(this.refsDir, seq), seq, this.hasher) : undefined;
  }

  /**
   * Writes change `seq`, durably; `table` gives the table after it and is called for every 256th change only.
   * Returns false, with nothing written, when that number is taken. When it throws, the change is not in the journal.
   */
  write(seq: number, change: RefChange, table: () => RefTable): boolean {
    const bytes = encodeJournalFile({ seq, change }, seq % TABLE_INTERVAL === 0 ? table() : undefined, this.hasher);
    const temporary = path.join(this.refsDir, `.${randomBytes(8).toString('hex')}.tmp`);
    try {
      writeNewFile(this.disk, temporary, bytes);
      return this.publish(temporary, seq);
    } finally {
      this.discard(temporary);
    }
  }

  /** Takes change `seq` back: only for its writer, under the write lock, while no index holds it. */
  withdraw(seq: number): void {
    this.disk.unlink(this.pathOf(seq));
    this.disk.syncDirectory(this.refsDir);
  }

  /** Makes a change durable that its writer, now dead, may have left in the page cache. */
  settle(): void {
    this.disk.syncDirectory(this.refsDir);
  }

  /** Removes what dead processes left half written. Only under the write lock: nobody else writes then. */
  removeLeftovers(): void {
    for (const name of namesIn(this.refsDir)) if (TEMPORARY.test(name)) this.discard(path.join(this.refsDir, name));
  }

  /**
   * Removes the files that come before the full table before the newest one, which is in change `seq`; damaged ones are set
   * aside. Best effort.
   */
  tidy(seq: number): void {
    for (const name of namesIn(this.refsDir)) {
      const other = seqOfName(name);
      if (other === undefined || other >= seq - TABLE_INTERVAL) continue;
      try {
        if (damageOf(this.refsDir, other, this.hasher).length > 0) this.quarantine(other);
        else this.discard(path.join(this.refsDir, name));
      } catch {
        // the next one will meet it again
      }
    }
  }

  /** Sets a damaged file aside, never in the place of another. Returns its new name, relative to the store. */
  quarantine(seq: number): string {
    this.disk.mkdir(this.quarantineDir);
    const name = quarantineName(this.quarantineDir, seq);
    this.disk.rename(this.pathOf(seq), path.join(this.quarantineDir, name));
    this.disk.syncDirectory(this.quarantineDir);
    this.disk.syncDirectory(this.refsDir);
    return `${path.basename(this.quarantineDir)}/${name}`;
  }

  private pathOf(seq: number): string {
    return path.join(this.refsDir, journalName(seq));
  }

  private publish(temporary: string, seq: number): boolean {
    try {
      this.disk.link(temporary, this.pathOf(seq));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
      throw error;
    }
    try {
      this.disk.syncDirectory(this.refsDir);
    } catch (error) {
      this.withdraw(seq);
      throw error;
    }
    return true;
  }

  /** A leftover is harmless, so failing to remove it is no error. */
  private discard(file: string): void {
    try {
      this.disk.unlink(file);
    } catch {
      // removeLeftovers or the next tidy will meet it again
    }
  }
}

/** Number of the last change in the journal; 0 before the first. */
export function newestSeq(refsDir: string): number {
  return listSeqs(refsDir).at(-1) ?? 0;
}

/** What the journal of a store adds up to, and what of it could not be read. */
export interface JournalState {
  table: RefTable;
  damage: Damage[];
}

/**
 * Adds up the journal from its files alone: the newest full table that can be read, and what follows it. A damaged change is
 * left out and named. While others write it is a state of some moment during the call.
 */
export function readJournal(refsDir: string, hasher: Hasher): JournalState {
  const damage: Damage[] = [];
  const seqs = listSeqs(refsDir);
  let table = newestTable(refsDir, seqs, hasher, damage);
  for (const seq of seqs) {
    if (seq <= table.seq) continue;
    if (seq !== table.seq + 1) damage.push(...damagedChange(table.seq + 1, `changes up to ${seq - 1} are missing`).damage);
    table = { ...afterChange(table, refsDir, seq, hasher, damage), seq };
  }
  return { table, damage };
}

/** The name under which a damaged file of that number is set aside. */
export function quarantineName(quarantineDir: string, seq: number): string {
  const name = `refs-${journalName(seq)}`;
  return freeName(quarantineDir, (number) => (number === 1 ? name : `${name}.${number}`));
}

/** What is wrong with a file of the journal. @throws StoreFormatError; what keeps it from being read */
export function damageOf(refsDir: string, seq: number, hasher: Hasher): Damage[] {
  const damage: Damage[] = [];
  collectDamage(damage, () => {
    const bytes = readJournalFile(refsDir, seq);
    decodeChange(bytes, seq, hasher);
    if (seq % TABLE_INTERVAL === 0) decodeTable(bytes, seq, hasher);
  });
  return damage;
}

export function newestTable(refsDir: string, seqs: number[], hasher: Hasher, damage: Damage[]): RefTable {
  for (const seq of seqs.filter((candidate) => candidate % TABLE_INTERVAL === 0).reverse()) {
    const table = collectDamage(damage, () => decodeTable(readJournalFile(refsDir, seq), seq, hasher));
    if (table !== undefined) return table;
  }
  return EMPTY_REF_TABLE;
}

function afterChange(table: RefTable, refsDir: string, seq: number, hasher: Hasher, damage: Damage[]): RefTable {
  const entry = collectDamage(damage, () => decodeChange(readJournalFile(refsDir, seq), seq, hasher));
  if (entry === undefined) return table;
  try {
    return applyChange(table, entry.change);
  } catch (error) {
    if (!(error instanceof RefChangeError)) throw error;
    damage.push(...damagedChange(seq, error.message, error).damage);
    return table;
  }
}

/** Numbers of the changes that there are files of, ascending. */
export function listSeqs(refsDir: string): number[] {
  return listFolder(refsDir)
    .map(seqOfName)
    .filter((seq) => seq !== undefined)
    .sort((a, b) => a - b);
}

function listFolder(folder: string): string[] {
  try {
    return reads.readdirSync(folder);
  } catch (error) {
    throw wrapIoError(error, `cannot list ${folder}`);
  }
}

/** None where the folder cannot be listed: for clearing up, which can wait. */
function namesIn(folder: string): string[] {
  try {
    return reads.readdirSync(folder);
  } catch {
    return [];
  }
}

/** A file of the journal. @throws DamageError where something else has its place, or nothing any more */
export function readJournalFile(refsDir: string, seq: number): Uint8Array {
  const file = path.join(refsDir, journalName(seq));
  try {
    return reads.readFileSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') throw damagedChange(seq, 'the file is missing', error);
    throw code === 'EISDIR' ? damagedChange(seq, 'it is no file', error) : wrapIoError(error, `cannot read ${file}`);
  }
}
