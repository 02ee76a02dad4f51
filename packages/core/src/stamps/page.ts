import { MalformedError } from '../util/bytes.js';
import type { Stamp } from './stamp.js';

/*
 * A page: what is known of some, or all, children of one folder. It begins and ends at a multiple of 8, in memory as in a file,
 * and numbers are in the machine's byte order: threads read the stamps in place.
 *
 *   bytes of the page (u32) | rows (u32) | bytes of the folder's path (u32) | bytes of the names (u32)
 *   pages of the folder (u32), a power of two; 0: the folder is gone | which of them this is (u32)
 *   per row: size | mtime, ns | ctime, ns | inode (i64 each); of a folder, and where nothing is known: 0, and a size of -1
 *   per row: 0 for a folder, 1 for a file, 2 for a symlink (u8)
 *   the folder's path in UTF-8 | the names in UTF-8, '/' between them | zeros
 */
const HEADER_BYTES = 24;
export const MIN_PAGE_BYTES = HEADER_BYTES;
const STAMP_FIELDS = 4;
const STAMP_BYTES = STAMP_FIELDS * BigInt64Array.BYTES_PER_ELEMENT;
const UNKNOWN_SIZE = -1n;
const SLASH = 0x2f;
export const PAGE_ALIGNMENT = 8;

export type RowKind = 'directory' | 'file' | 'symlink';
const KINDS: readonly RowKind[] = ['directory', 'file', 'symlink'];

/** A child of a folder as the tree has it. `stamp`: how it looked when it held what the tree says; undefined where that is not known. */
export interface Row {
  kind: RowKind;
  stamp: Stamp | undefined;
}

export type Rows = Map<string, Row>;

export interface PageHeader {
  /** Bytes of the page. */
  length: number;
  rows: number;
  folder: string;
  /** Pages of the folder; 0 when it is gone. */
  count: number;
  /** Which of them this is. */
  index: number;
}

export function encodePage(folder: string, count: number, index: number, rows: Rows): Uint8Array {
  const path = Buffer.from(folder, 'utf8');
  const names = Buffer.from([...rows.keys()].join('/'), 'utf8');
  const kindsAt = HEADER_BYTES + rows.size * STAMP_BYTES;
  const pathAt = kindsAt + rows.size;
  const namesAt = pathAt + path.byteLength;
  const length = Math.ceil((namesAt + names.byteLength) / PAGE_ALIGNMENT) * PAGE_ALIGNMENT;
  const bytes = new Uint8Array(length);
  bytes.set(path, pathAt);
  bytes.set(names, namesAt);
  new Uint32Array(bytes.buffer, 0, HEADER_BYTES / 4).set([length, rows.size, path.byteLength, names.byteLength, count, index]);
  const stamps = new BigInt64Array(bytes.buffer, HEADER_BYTES, rows.size * STAMP_FIELDS);
  let row = 0;
  for (const { kind, stamp } of rows.values()) {
    bytes[kindsAt + row] = KINDS.indexOf(kind);
    const at = row++ * STAMP_FIELDS;
    if (stamp === undefined) {
      stamps[at] = UNKNOWN_SIZE;
      continue;
    }
    stamps[at] = BigInt(stamp.size);
    stamps[at + 1] = stamp.mtimeNs;
    stamps[at + 2] = stamp.ctimeNs;
    stamps[at + 3] = BigInt.asIntN(64, stamp.inode);
  }
  return bytes;
}

/** What a page at `offset` is about, every length and number checked. @throws MalformedError */
export function readPageHeader(memory: Uint8Array, offset: number): PageHeader {
  if (offset % PAGE_ALIGNMENT !== 0 || offset + HEADER_BYTES > memory.byteLength)
    throw new MalformedError('a page begins where none can be');
  const [length, rows, pathBytes, nameBytes, count, index] = headerAt(memory, offset);
  const needed = HEADER_BYTES + rows * (STAMP_BYTES + 1) + pathBytes + nameBytes;
  if (length % PAGE_ALIGNMENT !== 0 || needed > length || needed + PAGE_ALIGNMENT <= length || offset + length > memory.byteLength)
    throw new MalformedError('a page has another length than what is in it');
  if ((count & (count - 1)) !== 0 || index >= Math.max(count, 1)) throw new MalformedError('a folder has no such page');
  const pathAt = offset + HEADER_BYTES + rows * (STAMP_BYTES + 1);
  if (memory.subarray(pathAt - rows, pathAt).some((kind) => kind >= KINDS.length)) throw new MalformedError('a row is of no kind');
  const names = memory.subarray(pathAt + pathBytes, pathAt + pathBytes + nameBytes);
  if (rows !== countOf(names)) throw new MalformedError('a page has more rows than names, or fewer');
  const folder = Buffer.from(memory.subarray(pathAt, pathAt + pathBytes)).toString('utf8');
  return { length, rows, folder, count, index };
}

/** A page that was read, or whose header was checked; every access goes to the memory that it lies in. */
export class PageView {
  readonly rows: number;
  readonly folder: string;
  readonly names: readonly string[];
  private readonly stamps: BigInt64Array;
  private readonly kinds: Uint8Array;

  constructor(memory: Uint8Array, offset: number) {
    const [, rows, pathBytes, nameBytes] = headerAt(memory, offset);
    const at = memory.byteOffset + offset + HEADER_BYTES;
    this.rows = rows;
    this.stamps = new BigInt64Array(memory.buffer, at, rows * STAMP_FIELDS);
    this.kinds = new Uint8Array(memory.buffer, at + rows * STAMP_BYTES, rows);
    const text = Buffer.from(memory.buffer, at + rows * (STAMP_BYTES + 1), pathBytes + nameBytes);
    this.folder = text.toString('utf8', 0, pathBytes);
    this.names = rows === 0 ? [] : text.toString('utf8', pathBytes).split('/');
  }

  kind(row: number): RowKind {
    return KINDS[this.kinds[row]!]!;
  }

  isKnown(row: number): boolean {
    return this.stamps[row * STAMP_FIELDS] !== UNKNOWN_SIZE;
  }

  /** Whether the stamp of a row is this one. */
  isStamp(row: number, { size, mtimeNs, ctimeNs, ino }: { size: bigint; mtimeNs: bigint; ctimeNs: bigint; ino: bigint }): boolean {
    const at = row * STAMP_FIELDS;
    const { stamps } = this;
    return stamps[at + 2] === ctimeNs && stamps[at + 1] === mtimeNs && stamps[at] === size && stamps[at + 3] === BigInt.asIntN(64, ino);
  }

  decode(): Rows {
    const rows: Rows = new Map();
    for (let row = 0; row < this.rows; row++) rows.set(this.names[row]!, { kind: this.kind(row), stamp: this.stamp(row) });
    return rows;
  }

  private stamp(row: number): Stamp | undefined {
    if (!this.isKnown(row)) return undefined;
    const at = row * STAMP_FIELDS;
    const inode = BigInt.asUintN(64, this.stamps[at + 3]!);
    return { size: Number(this.stamps[at]), mtimeNs: this.stamps[at + 1]!, ctimeNs: this.stamps[at + 2]!, inode };
  }
}

function headerAt(memory: Uint8Array, offset: number): [number, number, number, number, number, number] {
  return [...new Uint32Array(memory.buffer, memory.byteOffset + offset, HEADER_BYTES / 4)] as [
    number,
    number,
    number,
    number,
    number,
    number,
  ];
}

function countOf(names: Uint8Array): number {
  if (names.byteLength === 0) return 0;
  let count = 1;
  for (const byte of names) if (byte === SLASH) count++;
  return count;
}
