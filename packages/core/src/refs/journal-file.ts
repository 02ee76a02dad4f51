import { DamageError, StoreFormatError } from '../errors.js';
import { digestToHex, type DigestHex } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { isPackId } from '../pack/pack-id.js';
import { isName } from './names.js';
import type { GenerationRef, RefChange, RefTable, VolumeId, VolumeState } from './ref-table.js';

/*
 * One file of the ref journal, refs/<seq>, UTF-8 lines:
 *
 *   cairn-ref 1
 *   {"seq":512,"change":{"type":"head",…}}
 *   blake3 <64 hex digits: digest of the lines above>
 *
 * and in every 256th file also the table after this change, with a digest of its own, so that damage to it spares the change:
 *
 *   {"volumes":[{"id":…,"name":…,"createdAtMs":…,"generations":[[1,"<snapshot>"],…],"tags":[["v1","<snapshot>"],…]},…]}
 *   blake3 <64 hex digits: digest of the table's line>
 */
const VERSION = 1;
const DIGEST_LINE = /^blake3 ([0-9a-f]{64})$/;
const NAME = /^\d{16}$/;
/** Every so many changes the file holds the whole table. */
export const TABLE_INTERVAL = 256;

export interface JournalEntry {
  seq: number;
  change: RefChange;
}

/** 16 digits, so that names sort as numbers do. */
export function journalName(seq: number): string {
  return String(seq).padStart(16, '0');
}

/** Undefined for a name that no journal file has. */
export function seqOfName(name: string): number | undefined {
  if (!NAME.test(name)) return undefined;
  const seq = Number(name);
  return Number.isSafeInteger(seq) && seq > 0 ? seq : undefined;
}

export function encodeJournalFile(entry: JournalEntry, table: RefTable | undefined, hasher: Hasher): Uint8Array {
  const head = section(`cairn-ref ${VERSION}\n${JSON.stringify({ seq: entry.seq, change: entry.change })}\n`, hasher);
  return table === undefined
    ? head
    : Buffer.concat([head, section(`${JSON.stringify({ volumes: [...table.volumes.values()].map(tableRow) })}\n`, hasher)]);
}

/** @throws DamageError, or StoreFormatError for what a newer version wrote. */
export function decodeChange(bytes: Uint8Array, seq: number, hasher: Hasher): JournalEntry {
  const { lines, end } = readSection(bytes, 0, seq, hasher);
  const [first, json, ...rest] = lines;
  const version = /^cairn-ref (\d{1,9})$/.exec(first ?? '');
  if (version === null) throw damagedChange(seq, 'it does not begin as a journal file does');
  if (Number(version[1]) !== VERSION) {
    throw new StoreFormatError(`the ref journal has format version ${version[1]}`, 'open the store with a newer version of Cairn');
  }
  const entry = parseJson(json, seq) as JournalEntry;
  if (rest.length > 0 || !isObject(entry) || entry.seq !== seq || !isChange(entry.change))
    throw damagedChange(seq, 'it holds no change of that number');
  // What follows in a file with a table is checked with the table, so that damage there spares the change.
  if (end !== bytes.byteLength && seq % TABLE_INTERVAL !== 0) throw damagedChange(seq, 'something was added to it');
  return { seq, change: entry.change };
}

/** The table in a file that should hold one. @throws DamageError */
export function decodeTable(bytes: Uint8Array, seq: number, hasher: Hasher): RefTable {
  const start = readSection(bytes, 0, seq, hasher).end;
  const { lines, end } = readSection(bytes, start, seq, hasher);
  const parsed = parseJson(lines[0], seq) as { volumes: TableRow[] };
  if (
    lines.length !== 1 ||
    end !== bytes.byteLength ||
    !isObject(parsed) ||
    !Array.isArray(parsed.volumes) ||
    !parsed.volumes.every(isTableRow)
  ) {
    throw damagedChange(seq, 'it holds no table of volumes');
  }
  return { seq, volumes: new Map(parsed.volumes.map((row) => [row.id, { ...row, tags: new Map(row.tags) }])) };
}

/** Whether a table is one that a file may hold. */
export function isSoundTable({ volumes }: RefTable): boolean {
  return [...volumes.values()].map(tableRow).every(isTableRow);
}

export function damagedChange(seq: number, reason: string, cause?: unknown): DamageError {
  const id = `refs/${journalName(seq)}`;
  return new DamageError(`${id} is damaged: ${reason}`, [{ kind: 'index', id, affects: [] }], cause);
}

type TableRow = Omit<VolumeState, 'tags'> & { tags: [string, DigestHex][] };

function tableRow(volume: VolumeState): TableRow {
  return { ...volume, tags: [...volume.tags] };
}

function section(text: string, hasher: Hasher): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  return Buffer.concat([bytes, Buffer.from(`blake3 ${digestToHex(hasher.digest(bytes))}\n`, 'latin1')]);
}

/** The lines from `start` up to the next digest line, which they match, and where the section after it starts. */
function readSection(bytes: Uint8Array, start: number, seq: number, hasher: Hasher): { lines: string[]; end: number } {
  const lines: string[] = [];
  for (let at = start; ;) {
    const newline = bytes.indexOf(0x0a, at);
    if (newline < 0) throw damagedChange(seq, 'it ends too early');
    const line = Buffer.from(bytes.buffer, bytes.byteOffset + at, newline - at).toString('utf8');
    const digest = DIGEST_LINE.exec(line)?.[1];
    if (digest === undefined) lines.push(line);
    else if (digestToHex(hasher.digest(bytes.subarray(start, at))) === digest) return { lines, end: newline + 1 };
    else throw damagedChange(seq, 'it does not match its checksum');
    at = newline + 1;
  }
}

function parseJson(line: string | undefined, seq: number): unknown {
  try {
    return JSON.parse(line ?? '');
  } catch (error) {
    throw damagedChange(seq, 'it is no JSON', error);
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const isId = (value: unknown): value is VolumeId => typeof value === 'string' && /^[0-9a-f]{32}$/.test(value);
const isDigestHex = (value: unknown): value is DigestHex => typeof value === 'string' && /^[0-9a-f]{64}$/.test(value);
const isNumber = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isText = (value: unknown): value is string => typeof value === 'string';
/** Empty for an ephemeral volume. */
const isVolumeName = (value: unknown): boolean => value === '' || isName(value);
/** The id of a lease. */
const isOwner = (value: unknown): boolean => value === undefined || (isText(value) && /^\w{1,64}$/.test(value));

function isChange(value: unknown): value is RefChange {
  if (!isObject(value)) return false;
  if (value['type'] === 'restored') return true;
  if (!isId(value['volumeId'])) return false;
  switch (value['type']) {
    case 'volume-created':
      return isVolumeName(value['name']) && isNumber(value['createdAtMs']) && isOwner(value['ephemeralOwner']) && isFork(value['from']);
    case 'head':
      return isNumber(value['generation']) && isDigestHex(value['snapshot']) && isText(value['pack']) && isPackId(value['pack']);
    case 'volume-renamed':
      return isName(value['name']);
    case 'volume-deleted':
      return true;
    case 'tag':
      return isName(value['tag']) && isDigestHex(value['snapshot']);
    case 'untag':
      return isName(value['tag']);
    case 'prune':
      return Array.isArray(value['generations']) && value['generations'].every(isNumber);
    default:
      return false;
  }
}

function isFork(value: unknown): boolean {
  return value === undefined || (isObject(value) && isId(value['volumeId']) && isNumber(value['generation']));
}

function isTableRow(value: unknown): value is TableRow {
  return (
    isObject(value) &&
    isId(value['id']) &&
    isVolumeName(value['name']) &&
    isNumber(value['createdAtMs']) &&
    isOwner(value['ephemeralOwner']) &&
    Array.isArray(value['generations']) &&
    value['generations'].every(
      (pair: unknown): pair is GenerationRef => Array.isArray(pair) && pair.length === 2 && isNumber(pair[0]) && isDigestHex(pair[1]),
    ) &&
    Array.isArray(value['tags']) &&
    value['tags'].every((pair: unknown) => Array.isArray(pair) && pair.length === 2 && isName(pair[0]) && isDigestHex(pair[1]))
  );
}
