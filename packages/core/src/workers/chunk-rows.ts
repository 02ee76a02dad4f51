import { asDigest, DIGEST_BYTES, type Digest } from '../hash/digest.js';

/*
 * A row: digest (32), logical length (4, little-endian). Chunks move between threads as rows of one array, which is
 * hundreds of times cheaper than as objects.
 */
export const CHUNK_ROW_BYTES = DIGEST_BYTES + 4;

export interface ChunkRow {
  /** A view on the rows. */
  digest: Digest;
  length: number;
}

export function chunkCount(rows: Uint8Array): number {
  return rows.byteLength / CHUNK_ROW_BYTES;
}

export function chunkDigest(rows: Uint8Array, index: number): Digest {
  const at = index * CHUNK_ROW_BYTES;
  return asDigest(rows.subarray(at, at + DIGEST_BYTES));
}

export function chunkLength(rows: Uint8Array, index: number): number {
  const at = index * CHUNK_ROW_BYTES + DIGEST_BYTES;
  return (rows[at]! | (rows[at + 1]! << 8) | (rows[at + 2]! << 16) | (rows[at + 3]! << 24)) >>> 0;
}

export function* chunkRows(rows: Uint8Array): Generator<ChunkRow> {
  for (let i = 0; i < chunkCount(rows); i++) yield { digest: chunkDigest(rows, i), length: chunkLength(rows, i) };
}

/** Collects rows; grows by doubling. */
export class ChunkRowBuilder {
  private bytes = new Uint8Array(64 * CHUNK_ROW_BYTES);
  private used = 0;

  get count(): number {
    return this.used / CHUNK_ROW_BYTES;
  }

  /** Adds a row whose digest the caller then writes at the offset that comes back, in `memory`. */
  open(length: number): number {
    if (this.used === this.bytes.byteLength) {
      const grown = new Uint8Array(2 * this.used);
      grown.set(this.bytes);
      this.bytes = grown;
    }
    const at = this.used;
    this.used += CHUNK_ROW_BYTES;
    const end = at + DIGEST_BYTES;
    this.bytes[end] = length;
    this.bytes[end + 1] = length >>> 8;
    this.bytes[end + 2] = length >>> 16;
    this.bytes[end + 3] = length >>> 24;
    return at;
  }

  add(digest: Uint8Array, length: number): void {
    const at = this.open(length);
    this.bytes.set(digest, at);
  }

  /** Where rows lie until the next one is opened. */
  get memory(): Uint8Array {
    return this.bytes;
  }

  /** Drops all rows from `count` on. */
  truncate(count: number): void {
    this.used = count * CHUNK_ROW_BYTES;
  }

  /** The rows, in memory of their own. */
  finish(): Uint8Array {
    return this.bytes.slice(0, this.used);
  }
}
