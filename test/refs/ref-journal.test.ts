import fc from 'fast-check';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDisk } from '../../packages/core/src/disk/open-disk.js';
import { isCairnError, StoreFormatError } from '../../packages/core/src/errors.js';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { digestToHex } from '../../packages/core/src/hash/digest.js';
import { decodeChange, decodeTable, encodeJournalFile, journalName, TABLE_INTERVAL } from '../../packages/core/src/refs/journal-file.js';
import { journalFacts } from '../../packages/core/src/refs/journal-facts.js';
import { newestSeq, readJournal, RefJournal } from '../../packages/core/src/refs/journal.js';
import { recoverRefs } from '../../packages/core/src/refs/recover.js';
import { EMPTY_REF_TABLE, type RefChange, type VolumeId } from '../../packages/core/src/refs/ref-table.js';
import type { FaultyDiskOptions } from '../support/faulty-disk.mjs';
import { history, wish, wishes } from '../support/ref-changes.js';
import { tempDir } from '../support/temp-dir.js';

const FAULTY = new URL('../support/faulty-disk.mjs', import.meta.url).href;
const hasher = createHasher();
const CREATED: RefChange = {
  type: 'volume-created',
  volumeId: '0123456789abcdef0123456789abcdef' as VolumeId,
  name: 'models',
  createdAtMs: 1,
};

async function journalIn(dir: string, options?: FaultyDiskOptions): Promise<RefJournal> {
  const disk = await openDisk({ durable: false, ...(options === undefined ? {} : { module: FAULTY, options }) });
  return new RefJournal(disk, { refsDir: dir, quarantineDir: join(dir, 'quarantine') }, hasher);
}

/** Enough changes for three full tables, written one by one. */
async function longJournal(dir: string) {
  const steps = history(take(wishes(7), 6 * TABLE_INTERVAL)).slice(0, 3 * TABLE_INTERVAL + 20);
  expect(steps).toHaveLength(3 * TABLE_INTERVAL + 20);
  const journal = await journalIn(dir);
  steps.forEach(({ change, table }, i) => expect(journal.write(i + 1, change, () => table)).toBe(true));
  return { steps, journal };
}

function* take<T>(source: Iterator<T>, count: number): Generator<T> {
  for (let i = 0; i < count; i++) yield source.next().value as T;
}

describe('one journal file', () => {
  it('gives back the change and the table that were written', () => {
    fc.assert(
      fc.property(fc.array(wish, { minLength: 1, maxLength: 40 }), (some) => {
        const steps = history(some);
        steps.forEach(({ change, table }, i) => {
          const seq = (i + 1) * TABLE_INTERVAL;
          const bytes = encodeJournalFile({ seq, change }, table, hasher);
          expect(decodeChange(bytes, seq, hasher)).toEqual({ seq, change });
          expect(decodeTable(bytes, seq, hasher)).toEqual({ ...table, seq });
          expect(decodeChange(encodeJournalFile({ seq: i + 1, change }, undefined, hasher), i + 1, hasher)).toEqual({ seq: i + 1, change });
        });
      }),
    );
  });

  it('with any byte changed is damaged: never another change or another table', () => {
    const { change, table: written } = history(take(wishes(3), 30)).at(-1)!;
    const table = { ...written, seq: TABLE_INTERVAL };
    const bytes = encodeJournalFile({ seq: table.seq, change }, table, hasher);
    for (let i = 0; i < bytes.byteLength; i++) {
      const altered = Uint8Array.from(bytes);
      altered[i]! ^= 1 << (i % 8);
      const alteredChange = codeOrValue(() => decodeChange(altered, table.seq, hasher).change);
      const alteredTable = codeOrValue(() => decodeTable(altered, table.seq, hasher));
      expect([alteredChange, alteredTable]).toContain('CAIRN_DAMAGED');
      expect([change, 'CAIRN_DAMAGED']).toContainEqual(alteredChange);
      expect([table, 'CAIRN_DAMAGED']).toContainEqual(alteredTable);
    }
  });

  it('cut short, or under another number, is damaged', () => {
    const bytes = encodeJournalFile({ seq: 1, change: CREATED }, undefined, hasher);
    for (let length = 0; length < bytes.byteLength; length++)
      expect(codeOrValue(() => decodeChange(bytes.subarray(0, length), 1, hasher))).toBe('CAIRN_DAMAGED');
    expect(codeOrValue(() => decodeChange(bytes, 2, hasher))).toBe('CAIRN_DAMAGED');
  });

  it('with anything added to it is damaged, and an addition to a table spares the change beside it', () => {
    const { change, table } = history(take(wishes(3), 30)).at(-1)!;
    const plain = encodeJournalFile({ seq: 1, change }, undefined, hasher);
    const full = encodeJournalFile({ seq: TABLE_INTERVAL, change }, table, hasher);
    for (const added of ['\n', '\0', 'x', 'blake3 00\n', Buffer.from(plain).toString()]) {
      const longer = (bytes: Uint8Array): Uint8Array => Buffer.concat([bytes, Buffer.from(added)]);
      expect(codeOrValue(() => decodeChange(longer(plain), 1, hasher))).toBe('CAIRN_DAMAGED');
      expect(codeOrValue(() => decodeTable(longer(full), TABLE_INTERVAL, hasher))).toBe('CAIRN_DAMAGED');
      expect(decodeChange(longer(full), TABLE_INTERVAL, hasher).change).toEqual(change);
    }
  });

  it('of a newer version is refused as such', () => {
    const text = 'cairn-ref 2\n{"seq":1}\n';
    const bytes = Buffer.from(`${text}blake3 ${digestToHex(hasher.digest(Buffer.from(text)))}\n`);
    expect(() => decodeChange(bytes, 1, hasher)).toThrow(StoreFormatError);
  });
});

describe('the journal of a store', () => {
  it('adds up to the same table as the changes themselves, after old files are tidied away too', async () => {
    const dir = tempDir();
    const { steps, journal } = await longJournal(dir);
    const { table } = steps.at(-1)!;
    expect(readJournal(dir, hasher)).toEqual({ table, damage: [] });
    journal.tidy(3 * TABLE_INTERVAL);
    expect(Math.min(...readdirSync(dir).map(Number))).toBe(2 * TABLE_INTERVAL);
    expect(readJournal(dir, hasher)).toEqual({ table, damage: [] });
    expect(newestSeq(dir)).toBe(steps.length);
  });

  it('keeps what is damaged when old files are tidied away', async () => {
    const dir = tempDir();
    const { journal } = await longJournal(dir);
    const change = join(dir, journalName(5));
    const table = join(dir, journalName(TABLE_INTERVAL));
    const damaged = [change, table].map((file) => {
      const bytes = readFileSync(file);
      bytes[bytes.lastIndexOf('blake3') - 10]! ^= 4;
      writeFileSync(file, bytes);
      return bytes;
    });
    journal.tidy(3 * TABLE_INTERVAL);
    const aside = join(dir, 'quarantine');
    expect(readdirSync(aside).sort()).toEqual([`refs-${journalName(5)}`, `refs-${journalName(TABLE_INTERVAL)}`]);
    expect(readdirSync(aside).sort().map((name) => readFileSync(join(aside, name)))).toEqual(damaged); // prettier-ignore
    expect(readdirSync(dir)).toHaveLength(TABLE_INTERVAL + 20 + 2);
  });

  it('with its newest full table damaged, or both, is made up for by an index that knows all', async () => {
    const dir = tempDir();
    const { steps, journal } = await longJournal(dir);
    journal.tidy(3 * TABLE_INTERVAL);
    const { table } = steps.at(-1)!;
    for (const seq of [3, 2].map((nth) => nth * TABLE_INTERVAL)) {
      const bytes = readFileSync(join(dir, journalName(seq)));
      bytes[bytes.lastIndexOf('blake3') - 10]! ^= 4;
      writeFileSync(join(dir, journalName(seq)), bytes);
      const facts = journalFacts(dir, hasher);
      const told = { table, whole: true, knowsPacks: true };
      expect(recoverRefs(facts, told, () => []).table).toEqual(table);
      // The one before is enough; without both nothing is known of what came before them.
      if (seq === 3 * TABLE_INTERVAL) expect(recoverRefs(facts, undefined, () => []).table).toEqual(table);
      else expect(recoverRefs(facts, undefined, () => []).unknown).toBeGreaterThan(0);
    }
    expect(journalFacts(dir, hasher).damaged).toEqual([2 * TABLE_INTERVAL, 3 * TABLE_INTERVAL]);
  });

  it('with its newest full table damaged falls back to the one before, and loses nothing', async () => {
    const dir = tempDir();
    const { steps, journal } = await longJournal(dir);
    journal.tidy(3 * TABLE_INTERVAL);
    const file = join(dir, journalName(3 * TABLE_INTERVAL));
    const bytes = readFileSync(file);
    bytes[bytes.lastIndexOf('blake3') - 10]! ^= 4;
    writeFileSync(file, bytes);
    const { table, damage } = readJournal(dir, hasher);
    expect(table).toEqual(steps.at(-1)!.table);
    expect(damage.map(({ kind, id }) => [kind, id])).toEqual([['index', `refs/${journalName(3 * TABLE_INTERVAL)}`]]);
  });

  it('with one change damaged names it and goes on with those after it', async () => {
    const dir = tempDir();
    const journal = await journalIn(dir);
    const other = { ...CREATED, volumeId: 'ff'.repeat(16) as VolumeId, name: 'other' };
    [CREATED, { ...CREATED, volumeId: 'ee'.repeat(16) as VolumeId, name: 'lost' }, other].forEach((change, i) =>
      journal.write(i + 1, change, () => EMPTY_REF_TABLE),
    );
    writeFileSync(join(dir, journalName(2)), 'cairn-ref 1\n{"se');
    const { table, damage } = readJournal(dir, hasher);
    expect([...table.volumes.values()].map((volume) => volume.name)).toEqual(['models', 'other']);
    expect(table.seq).toBe(3);
    expect(damage).toHaveLength(1);
  });

  it('never replaces a change that is there', async () => {
    const dir = tempDir();
    const journal = await journalIn(dir);
    expect(journal.write(1, CREATED, () => EMPTY_REF_TABLE)).toBe(true);
    expect(journal.write(1, { type: 'volume-deleted', volumeId: CREATED.volumeId }, () => EMPTY_REF_TABLE)).toBe(false);
    expect(journal.read(1)).toEqual({ seq: 1, change: CREATED });
    expect(readdirSync(dir)).toEqual([journalName(1)]);
  });

  it('holds no change whose writing failed, whichever disk call it was, and no leftovers once they are removed', async () => {
    for (let failAt = 1; ; failAt++) {
      const dir = tempDir();
      const counter = new SharedArrayBuffer(4);
      const journal = await journalIn(dir, { failAt, counter });
      const failed = codeOrValue(() => journal.write(1, CREATED, () => EMPTY_REF_TABLE)) !== true;
      expect(readJournal(dir, hasher).table.seq).toBe(failed ? 0 : 1);
      journal.removeLeftovers();
      expect(readdirSync(dir)).toEqual(failed ? [] : [journalName(1)]);
      if (new Int32Array(counter)[0]! < failAt) break;
    }
  });
});

function codeOrValue<T>(call: () => T): T | string {
  try {
    return call();
  } catch (error) {
    if (!isCairnError(error)) throw error;
    return error.code;
  }
}
