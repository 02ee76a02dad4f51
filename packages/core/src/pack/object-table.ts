import { asDigest, copyDigest, DIGEST_BYTES, type Digest } from '../hash/digest.js';
import type { ObjectKind } from '../hash/object-kind.js';

/*
 * A row, little-endian:
 *    0  digest         32   BLAKE3-256 of the logical bytes
 *   32  offset          8   of the stored bytes, from the pack's start; below 2^53
 *   40  storedLength    4
 *   44  length          4   logical
 *   48  kind            1   ObjectKind
 *   49  encoding        1   Encoding
 *   50  reserved        6   zero
 */
export const ROW_BYTES = 56;
const AT = { offset: 32, storedLength: 40, length: 44, kind: 48, encoding: 49, reserved: 50 } as const;

/** Where one object's bytes lie in a pack. */
export interface PackedObject {
  kind: ObjectKind;
  digest: Digest;
  encoding: number;
  /** Logical bytes. */
  length: number;
  storedLength: number;
  offset: number;
}

/** The rows of a pack in file order, as in its footer: fixed width, so that it moves between threads as one transferable. */
export type ObjectTable = Uint8Array;

export function rowCount(table: ObjectTable): number {
  return table.byteLength / ROW_BYTES;
}

/** A row, with a digest in memory of its own. `table` came from this module or passed `parseFooter`. */
export function readRow(table: ObjectTable, index: number): PackedObject {
  const row = rowView(table, index);
  return {
    kind: row.getUint8(AT.kind) as ObjectKind,
    digest: copyDigest(table, index * ROW_BYTES),
    encoding: row.getUint8(AT.encoding),
    length: row.getUint32(AT.length, true),
    storedLength: row.getUint32(AT.storedLength, true),
    offset: Number(row.getBigUint64(AT.offset, true)),
  };
}

/** The digest of a row as a view on the table: for look-ups that keep nothing. */
export function rowDigest(table: ObjectTable, index: number): Digest {
  return asDigest(table.subarray(index * ROW_BYTES, index * ROW_BYTES + DIGEST_BYTES));
}

export function* rows(table: ObjectTable): Generator<PackedObject> {
  for (let i = 0; i < rowCount(table); i++) yield readRow(table, i);
}

/** True when the bytes that this version leaves zero are zero. */
export function reservedIsZero(table: ObjectTable, index: number): boolean {
  const row = rowView(table, index);
  return row.getUint16(AT.reserved, true) === 0 && row.getUint32(AT.reserved + 2, true) === 0;
}

/** Collects rows; grows by doubling. */
export class TableBuilder {
  private bytes = new Uint8Array(16 * ROW_BYTES);
  private used = 0;

  get count(): number {
    return this.used / ROW_BYTES;
  }

  add(object: PackedObject): void {
    if (this.used === this.bytes.byteLength) {
      const grown = new Uint8Array(2 * this.used);
      grown.set(this.bytes);
      this.bytes = grown;
    }
    this.bytes.set(object.digest, this.used);
    const row = new DataView(this.bytes.buffer, this.used, ROW_BYTES);
    row.setBigUint64(AT.offset, BigInt(object.offset), true);
    row.setUint32(AT.storedLength, object.storedLength, true);
    row.setUint32(AT.length, object.length, true);
    row.setUint8(AT.kind, object.kind);
    row.setUint8(AT.encoding, object.encoding);
    this.used += ROW_BYTES;
  }

  /** The rows, in memory of their own. */
  finish(): ObjectTable {
    return this.bytes.slice(0, this.used);
  }
}

function rowView(table: ObjectTable, index: number): DataView {
  return new DataView(table.buffer, table.byteOffset + index * ROW_BYTES, ROW_BYTES);
}
