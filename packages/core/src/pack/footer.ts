import { Encoding } from '../encoding/encoding.js';
import { DamageError, StoreFormatError } from '../errors.js';
import { copyDigest, DIGEST_BYTES } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { isObjectKind } from '../hash/object-kind.js';
import { type ObjectTable, readRow, reservedIsZero, ROW_BYTES, rowCount } from './object-table.js';
import { packIdFromBytes, packIdToBytes, type PackId } from './pack-id.js';

/*
 * A pack is payloads, then a footer: the object table (object-table.ts), then this trailer, little-endian,
 * which ends the file:
 *    0  id              16   the same as in the file's name
 *   16  payloadBytes     8   where the table starts
 *   24  rowCount         4
 *   28  flags            4   zero
 *   32  digest          32   BLAKE3-256 of the whole footer with these 32 bytes zero
 *   64  version          4   1
 *   68  ~version         4   tells damage from a newer version
 *   72  magic            8   "cairnpak"
 * Version and magic end the file in every version, whatever else changes.
 */
export const PACK_VERSION = 1;
export const TRAILER_BYTES = 80;
const AT = { id: 0, payloadBytes: 16, rowCount: 24, flags: 28, digest: 32, version: 64, inverse: 68, magic: 72 } as const;
const MAGIC = Buffer.from('cairnpak', 'latin1');

/** Bounds what a reader allocates for a table, 56 MiB; a writer refuses more. */
export const MAX_PACK_OBJECTS = 1 << 20;
/** Bounds what a reader allocates for an object; no chunk, node or record comes near. */
export const MAX_OBJECT_BYTES = 16 << 20;

/** What a reader that maps or reads pages wants. */
export const PAGE_BYTES = 4096;
/** Raw payloads from this length on start on a page. */
export const PAGE_ALIGNED_FROM_BYTES = 64 * 1024;
/** All others start on a word: copies whose ends differ modulo 8 run at a fifth of the speed. */
const WORD_BYTES = 8;

/** A pack that is complete, durable and in place. */
export interface SealedPack {
  id: PackId;
  /** Of the whole file. */
  sizeBytes: number;
  /** In memory of its own, so that it can be transferred. */
  table: ObjectTable;
}

/** Where the next payload starts when everything before it ends at `end`. The gap is zeros. */
export function payloadStart(end: number, encoding: number, storedLength: number): number {
  const pages = encoding === Encoding.raw && storedLength >= PAGE_ALIGNED_FROM_BYTES;
  return alignUp(end, pages ? PAGE_BYTES : WORD_BYTES);
}

export function alignUp(position: number, unit: number): number {
  return Math.ceil(position / unit) * unit;
}

/** Table and trailer of a pack whose payloads take `payloadBytes`. */
export function encodeFooter(id: PackId, payloadBytes: number, table: ObjectTable, hasher: Hasher): Uint8Array {
  const footer = new Uint8Array(table.byteLength + TRAILER_BYTES);
  footer.set(table);
  const at = table.byteLength;
  const trailer = new DataView(footer.buffer, at);
  footer.set(packIdToBytes(id), at + AT.id);
  trailer.setBigUint64(AT.payloadBytes, BigInt(payloadBytes), true);
  trailer.setUint32(AT.rowCount, rowCount(table), true);
  trailer.setUint32(AT.version, PACK_VERSION, true);
  trailer.setUint32(AT.inverse, ~PACK_VERSION, true);
  footer.set(MAGIC, at + AT.magic);
  footer.set(hasher.digest(footer), at + AT.digest);
  return footer;
}

/**
 * The footer's length, judged by the last `TRAILER_BYTES` of the file.
 *
 * @throws DamageError, StoreFormatError as `parseFooter`.
 */
export function footerBytes(trailer: Uint8Array, sizeBytes: number, id: PackId): number {
  const view = new DataView(trailer.buffer, trailer.byteOffset, TRAILER_BYTES);
  const version = view.getUint32(AT.version, true);
  if (!MAGIC.equals(trailer.subarray(AT.magic, TRAILER_BYTES)) || (version ^ view.getUint32(AT.inverse, true)) !== -1) {
    throw damagedPack(id, 'it does not end as a pack does');
  }
  if (version !== PACK_VERSION) throw newerPack(id, `has format version ${version}`);
  const count = view.getUint32(AT.rowCount, true);
  const footer = count * ROW_BYTES + TRAILER_BYTES;
  if (count > MAX_PACK_OBJECTS || view.getBigUint64(AT.payloadBytes, true) !== BigInt(sizeBytes - footer)) {
    throw damagedPack(id, 'its parts do not add up to its size');
  }
  return footer;
}

/**
 * Checks a whole footer and returns its table as a view. Nothing in it is believed before the digest holds, and the
 * rows not even then: they lie inside the payloads, in order, without overlap, with sane lengths.
 *
 * @param footer is changed for a moment: the digest is taken with its own bytes zero.
 * @throws DamageError (kind `pack`) for bytes that no writer made, or another pack's under this name.
 * @throws StoreFormatError for what a newer version wrote.
 */
export function parseFooter(footer: Uint8Array, sizeBytes: number, id: PackId, hasher: Hasher): ObjectTable {
  if (footer.byteLength < TRAILER_BYTES) throw damagedPack(id, 'it is shorter than a footer');
  const trailer = footer.subarray(footer.byteLength - TRAILER_BYTES);
  if (footerBytes(trailer, sizeBytes, id) !== footer.byteLength) throw damagedPack(id, 'its footer has another length');
  const stored = copyDigest(trailer, AT.digest);
  trailer.fill(0, AT.digest, AT.digest + DIGEST_BYTES);
  const actual = hasher.digest(footer);
  trailer.set(stored, AT.digest);
  if (Buffer.compare(stored, actual) !== 0) throw damagedPack(id, 'its footer does not match its checksum');
  const view = new DataView(trailer.buffer, trailer.byteOffset, TRAILER_BYTES);
  if (view.getUint32(AT.flags, true) !== 0) throw newerPack(id, 'has unknown flags');
  const inside = packIdFromBytes(trailer, AT.id);
  if (inside !== id) throw damagedPack(id, `it is pack ${inside} under another name`);
  const table = footer.subarray(0, footer.byteLength - TRAILER_BYTES);
  checkRows(table, sizeBytes - footer.byteLength, id);
  return table;
}

/** A pack that is missing, cut short or not what it should be. */
export function damagedPack(id: PackId, reason: string, cause?: unknown): DamageError {
  return new DamageError(`pack ${id} is damaged: ${reason}`, [{ kind: 'pack', id, affects: [] }], cause);
}

/** What a row may say of lengths: raw bytes are the logical ones, an encoding never grows them. */
function isStorable(encoding: number, length: number, storedLength: number): boolean {
  return length <= MAX_OBJECT_BYTES && (encoding === Encoding.raw ? storedLength === length : storedLength <= length);
}

/** Keeps a writer from making what the reader would refuse. */
export function assertStorable(encoding: number, length: number, storedLength: number): void {
  if (!isStorable(encoding, length, storedLength)) throw new RangeError(`no object has ${length} bytes, ${storedLength} stored`);
}

function checkRows(table: ObjectTable, payloadBytes: number, id: PackId): void {
  let end = 0;
  for (let i = 0; i < rowCount(table); i++) {
    const { kind, encoding, length, storedLength, offset } = readRow(table, i);
    if (!reservedIsZero(table, i) || !isObjectKind(kind)) throw newerPack(id, 'has objects of an unknown kind');
    if (offset < end || offset + storedLength > payloadBytes) throw damagedPack(id, `row ${i} lies outside the payloads`);
    if (!isStorable(encoding, length, storedLength)) throw damagedPack(id, `row ${i} has impossible lengths`);
    end = offset + storedLength;
  }
}

function newerPack(id: PackId, what: string): StoreFormatError {
  return new StoreFormatError(
    `pack ${id} ${what}, which this version of Cairn does not know`,
    'open the store with a newer version of Cairn',
  );
}
