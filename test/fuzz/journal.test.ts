import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe } from 'vitest';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { digestToHex, type DigestHex } from '../../packages/core/src/hash/digest.js';
import type { PackId } from '../../packages/core/src/pack/pack-id.js';
import { readJournal } from '../../packages/core/src/refs/journal.js';
import { decodeChange, decodeTable, encodeJournalFile, journalName, type JournalEntry } from '../../packages/core/src/refs/journal-file.js';
import { applyChange, EMPTY_REF_TABLE, type RefChange, type RefTable, type VolumeId } from '../../packages/core/src/refs/ref-table.js';
import { fuzz } from './fuzz.js';

const hasher = createHasher('auto');
const volumeId = '00112233445566778899aabbccddeeff' as VolumeId;
const other = 'ffeeddccbbaa99887766554433221100' as VolumeId;
const snapshot = 'ab'.repeat(32) as DigestHex;
const pack = '0123456789abcdef0123456789abcdef' as PackId;

/** A history in which every kind of change occurs. */
const CHANGES: RefChange[] = [
  { type: 'volume-created', volumeId, name: 'models', createdAtMs: 1_700_000_000_000 },
  { type: 'head', volumeId, generation: 1, snapshot, pack },
  { type: 'head', volumeId, generation: 2, snapshot, pack },
  { type: 'tag', volumeId, tag: 'v1', snapshot },
  { type: 'volume-created', volumeId: other, name: '', createdAtMs: 5, ephemeralOwner: 'lease', from: { volumeId, generation: 1 } },
  { type: 'prune', volumeId, generations: [1] },
  { type: 'volume-renamed', volumeId, name: 'modeles' },
  { type: 'untag', volumeId, tag: 'v1' },
  { type: 'volume-deleted', volumeId: other },
  { type: 'restored' },
];
const TABLES = CHANGES.reduce<RefTable[]>((tables, change) => [...tables, applyChange(tables.at(-1) ?? EMPTY_REF_TABLE, change)], []);
const TOKENS = [
  '"__proto__":',
  '"constructor":',
  '{',
  '}',
  '[',
  ']',
  ',',
  'null',
  '"\\u0000"',
  '\n',
  '"from":{"volumeId":',
  'blake3 ',
  '\ud800',
  '"head"',
  '"prune"',
  volumeId,
  snapshot,
  '"../../x"',
];
const tokens = TOKENS.map((text) => Buffer.from(text));

/** Digest lines become those of what is before them. */
function reseal(bytes: Buffer): Buffer {
  const sections = bytes.toString('latin1').split(/^blake3 .*\n/m);
  return Buffer.concat(
    sections.map((text, i) => {
      const lines = Buffer.from(text, 'latin1');
      if (i === sections.length - 1) return lines;
      return Buffer.concat([lines, Buffer.from(`blake3 ${digestToHex(hasher.digest(lines))}\n`)]);
    }),
  );
}

function sameJson(a: unknown, b: unknown): void {
  if (JSON.stringify(a) !== JSON.stringify(b)) throw new Error(`${JSON.stringify(a)} is read again as ${JSON.stringify(b)}`);
}

const plain = (table: RefTable): unknown => [...table.volumes.values()].map((volume) => ({ ...volume, tags: [...volume.tags] }));

const dir = fs.mkdtempSync(join(tmpdir(), 'cairn-fuzz-'));
afterAll(() => fs.rmSync(dir, { recursive: true, force: true }));

describe('the ref journal', () => {
  fuzz({
    name: 'change of the ref journal',
    share: 70,
    samples: CHANGES.map((change) => encodeJournalFile({ seq: 7, change }, undefined, hasher)),
    tokens,
    reseal,
    check(bytes) {
      const entry = decodeChange(bytes, 7, hasher);
      sameJson(entry, decodeChange(encodeJournalFile(entry, undefined, hasher), 7, hasher));
    },
    memory: { perByte: 12, fixed: 4000 },
  });

  fuzz({
    name: 'table in the ref journal',
    share: 60,
    samples: TABLES.map((table, i) => encodeJournalFile({ seq: 256, change: CHANGES[i]! }, table, hasher)),
    tokens,
    reseal,
    check(bytes) {
      const entry: JournalEntry = { seq: 256, change: CHANGES[0]! };
      const table = decodeTable(bytes, 256, hasher);
      sameJson(plain(table), plain(decodeTable(encodeJournalFile(entry, table, hasher), 256, hasher)));
      // A change on top of any table is the table after it, or does not fit.
      for (const change of CHANGES.slice(0, 3)) {
        try {
          applyChange(table, change);
        } catch (error) {
          if (!(error instanceof Error) || error.constructor.name !== 'RefChangeError') throw new Error('another error', { cause: error });
        }
      }
    },
    memory: { perByte: 16, fixed: 8000 },
  });

  const whole = CHANGES.map((change, i) => encodeJournalFile({ seq: i + 1, change }, undefined, hasher));
  fuzz({
    name: 'journal with a file from elsewhere',
    share: 4,
    samples: CHANGES.map((change) => encodeJournalFile({ seq: 3, change }, undefined, hasher)),
    tokens,
    reseal: (bytes) => reseal(Buffer.from(bytes.toString('latin1').replace(/"seq":\d+/, '"seq":3'), 'latin1')),
    check(bytes) {
      for (const [i, file] of whole.entries()) fs.writeFileSync(join(dir, journalName(i + 1)), i === 2 ? bytes : file);
      const { table, damage } = readJournal(dir, hasher);
      if (table.seq !== whole.length) throw new Error(`the journal ends at ${table.seq}`);
      // What does not fit is named, and all that does not depend on it is there.
      if (table.volumes.size === 0 && damage.length === 0) throw new Error('a volume was lost silently');
      if (damage.length > 0) decodeChange(bytes, 3, hasher);
    },
    memory: { perByte: 64, fixed: 64_000 },
  });
});
