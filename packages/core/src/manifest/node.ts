/**
 * A manifest node lists paths in the order of their keys (keys.ts). Integers marked v are varints (LEB128),
 * the others little-endian.
 *
 *      0         1       2
 *      +---------+-------+--------+--------+-- … to the end
 *      | version | level | item 0 | item 1 |
 *      +---------+-------+--------+--------+-- …
 *
 *      item             v(bytes shared with the key before) | v(bytes added) | added bytes | value
 *      value, level 0   kind (1) | mtime in ns (8) | then by kind
 *                         0 file, 1 executable file:  height (1) | root digest (32) | v(length in bytes)
 *                         2 directory:                nothing
 *                         3 symlink:                  v(bytes) | target in UTF-8
 *      value, level 1+  digest of a node of the level below (32) | v(entries) | v(files) | v(bytes of files)
 *                       the key is the last key of that node; the sums are over all that lies below it
 *
 * A node ends after the first item, from the 32nd on, whose key's hash says so (one in 96; the level is hashed
 * too), and after 512 items at most: 128 on average. Values have no part in it, so changing a file moves no end.
 */
import { isUtf8 } from 'node:buffer';
import { MAX_CONTENT_HEIGHT } from '../content/content-ref.js';
import { asDigest, DIGEST_BYTES, type Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import { MalformedError } from '../util/bytes.js';
import type { Entry } from './entry.js';
import { KeyReader } from './key-reader.js';
import { hashKey, type Key } from './keys.js';
import { NodeBytes } from './node-bytes.js';

export const MANIFEST_NODE_VERSION = 1;
/** No tree is higher: with 32 items or more in every node but the last of its level, 2^53 entries need 11 levels. */
export const MAX_MANIFEST_LEVEL = 12;
const MIN_ITEMS = 32;
const MAX_ITEMS = 512;
/** One hash in 96 ends a node: 32 + 96 items on average. */
const END_BELOW = Math.floor(2 ** 32 / 96);

export const EntryKind = { file: 0, executable: 1, directory: 2, symlink: 3 } as const;
/** A longer target than this no file system makes. */
export const MAX_TARGET_BYTES = 4096;
const HEADER_BYTES = 2;
/** Where the parts of a value of level 0 start. */
const MTIME_AT = 1;
const HEIGHT_AT = 9;
const TARGET_AT = 9;
const ROOT_AT = 10;
const LENGTH_AT = ROOT_AT + DIGEST_BYTES;

/** Sums over entries: `files` counts all but directories, `sizeBytes` is the length of all files. */
export interface Totals {
  entries: number;
  files: number;
  sizeBytes: number;
}

/** A node as its parent knows it. */
export interface ChildRef extends Totals {
  digest: Digest;
}

/** Whether a node of `count` items ends behind its last one, which has this key. */
export function endsManifestNode(count: number, lastKey: Key, level: number): boolean {
  return count >= MAX_ITEMS || (count >= MIN_ITEMS && hashKey(lastKey, level) < END_BELOW);
}

/** A decoded node, checked as far as it can be alone. `keys` ascend; item i's value is bytes [starts[i], ends[i]). */
export class ManifestNode {
  readonly level: number;
  readonly keys: readonly Key[];
  readonly totals: Readonly<Totals>;
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  private readonly starts: readonly number[];
  private readonly ends: readonly number[];
  /** Those asked for so far: look-ups come through the same few again and again. */
  private readonly children: ChildRef[] = [];

  constructor(level: number, keys: Key[], totals: Totals, bytes: Uint8Array, starts: number[], ends: number[]) {
    this.level = level;
    this.keys = keys;
    this.totals = totals;
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.starts = starts;
    this.ends = ends;
  }

  get count(): number {
    return this.keys.length;
  }

  get lastKey(): Key {
    return this.keys[this.keys.length - 1]!;
  }

  /** The first item whose key is `key` or greater; `count` when there is none. */
  lowerBound(key: Key): number {
    let low = 0;
    let high = this.keys.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.keys[middle]! < key) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The encoded value of an item: a view. */
  value(index: number): Uint8Array {
    return this.bytes.subarray(this.starts[index], this.ends[index]);
  }

  /** Items [from, to) as they are encoded, keys and all: a view that goes on from the key of item `from` - 1. */
  encodedItems(from: number, to: number): Uint8Array {
    return this.bytes.subarray(from === 0 ? HEADER_BYTES : this.ends[from - 1], this.ends[to - 1]);
  }

  /** Of level 0 only. The entry shares no memory with the node. */
  entry(index: number): Entry {
    const start = this.starts[index]!;
    const kind = this.bytes[start]!;
    const mtimeNs = this.view.getBigInt64(start + MTIME_AT, true);
    if (kind === EntryKind.directory) return { type: 'directory', mtimeNs };
    if (kind === EntryKind.symlink) return { type: 'symlink', mtimeNs, target: this.target(start, this.ends[index]!) };
    const content = { height: this.bytes[start + HEIGHT_AT]!, root: this.digestAt(start + ROOT_AT), length: this.fileLength(start) };
    return { type: 'file', executable: kind === EntryKind.executable, mtimeNs, content };
  }

  /** Of level 1 and above only. */
  child(index: number): ChildRef {
    return (this.children[index] ??= this.readChild(index));
  }

  private readChild(index: number): ChildRef {
    const start = this.starts[index]!;
    const reader = new NodeBytes(this.bytes, start + DIGEST_BYTES);
    return { digest: this.digestAt(start), entries: reader.varint(), files: reader.varint(), sizeBytes: reader.varint() };
  }

  /** Where in the bytes the digest of a child starts. Of level 1 and above only. */
  digestStart(index: number): number {
    return this.starts[index]!;
  }

  /**
   * What the node needs to be whole: content nodes, single chunks or nodes of the level below. With `wanted`, which gets the bytes of a
   * digest where they lie, only some of it: most of a hundred references may be of no interest.
   */
  references(wanted: (kind: ObjectKind, bytes: Uint8Array, at: number) => boolean = () => true): { kind: ObjectKind; digest: Digest }[] {
    const references: { kind: ObjectKind; digest: Digest }[] = [];
    const add = (kind: ObjectKind, at: number): void => {
      if (wanted(kind, this.bytes, at)) references.push({ kind, digest: this.digestAt(at) });
    };
    for (let i = 0; i < this.count; i++) {
      const start = this.starts[i]!;
      if (this.level > 0) add(ObjectKind.manifestNode, start);
      else if (this.bytes[start]! <= EntryKind.executable && this.fileLength(start) > 0)
        add(this.bytes[start + HEIGHT_AT]! > 0 ? ObjectKind.contentNode : ObjectKind.chunk, start + ROOT_AT);
    }
    return references;
  }

  /** Whether item i is the same version of a path as item j of another node of level 0: all but the modification time. */
  sameItem(i: number, other: ManifestNode, j: number): boolean {
    const [a, b] = [this.bytes, other.bytes];
    const [from, otherFrom] = [this.starts[i]!, other.starts[j]!];
    const length = this.ends[i]! - from;
    if (length !== other.ends[j]! - otherFrom || a[from] !== b[otherFrom]) return false;
    for (let at = HEIGHT_AT; at < length; at++) if (a[from + at] !== b[otherFrom + at]) return false;
    return true;
  }

  /** Adds to `totals` what items [from, to) add to the node's own. */
  addTotals(totals: Totals, from: number, to: number): void {
    const reader = new NodeBytes(this.bytes, 0);
    for (let i = from; i < to; i++) {
      reader.position = this.starts[i]!;
      if (this.level === 0) readEntryValue(reader, totals);
      else readChildValue(reader, totals);
    }
  }

  private target(start: number, end: number): string {
    const reader = new NodeBytes(this.bytes, start + TARGET_AT);
    reader.varint();
    const { buffer, byteOffset } = this.bytes;
    return Buffer.from(buffer, byteOffset + reader.position, end - reader.position).toString('utf8');
  }

  private fileLength(start: number): number {
    return new NodeBytes(this.bytes, start + LENGTH_AT).varint();
  }

  private digestAt(start: number): Digest {
    const digest = new Uint8Array(DIGEST_BYTES);
    for (let i = 0; i < DIGEST_BYTES; i++) digest[i] = this.bytes[start + i]!;
    return asDigest(digest);
  }
}

/** @throws MalformedError on anything that `NodeWriter` cannot have written */
export function decodeManifestNode(bytes: Uint8Array): ManifestNode {
  const reader = new NodeBytes(bytes, 0);
  const version = reader.u8();
  if (version !== MANIFEST_NODE_VERSION) throw new MalformedError(`manifest node of version ${version}`);
  const level = reader.u8();
  if (level > MAX_MANIFEST_LEVEL) throw new MalformedError(`manifest node of level ${level}`);
  const keyReader = new KeyReader();
  const keys: Key[] = [];
  const starts: number[] = [];
  const ends: number[] = [];
  const totals: Totals = { entries: 0, files: 0, sizeBytes: 0 };
  while (!reader.atEnd) {
    keys.push(keyReader.next(reader));
    starts.push(reader.position);
    if (level === 0) readEntryValue(reader, totals);
    else readChildValue(reader, totals);
    ends.push(reader.position);
  }
  if (keys.length === 0 || keys.length > MAX_ITEMS) throw new MalformedError(`manifest node of ${keys.length} items`);
  if (totals.sizeBytes > Number.MAX_SAFE_INTEGER || totals.entries > Number.MAX_SAFE_INTEGER) throw new MalformedError('sums over 2^53');
  return new ManifestNode(level, keys, totals, bytes, starts, ends);
}

/** Checks a value of level 0, and adds it to the totals. */
function readEntryValue(reader: NodeBytes, totals: Totals): void {
  const kind = reader.u8();
  reader.skip(HEIGHT_AT - MTIME_AT);
  totals.entries++;
  if (kind !== EntryKind.directory) totals.files++;
  if (kind <= EntryKind.executable) {
    const height = reader.u8();
    if (height > MAX_CONTENT_HEIGHT) throw new MalformedError(`content tree of height ${height}`);
    reader.skip(DIGEST_BYTES);
    const length = reader.varint();
    if (height > 0 && length === 0) throw new MalformedError('content tree of no bytes');
    totals.sizeBytes += length;
  } else if (kind === EntryKind.symlink) {
    const length = reader.varint();
    const start = reader.skip(length);
    const target = reader.bytes.subarray(start, start + length);
    if (length === 0 || length > MAX_TARGET_BYTES || !isUtf8(target) || target.includes(0)) {
      throw new MalformedError('symlink without a proper target');
    }
  } else if (kind !== EntryKind.directory) throw new MalformedError(`entry of kind ${kind}`);
}

/** Checks a value of level 1 or above, and adds it to the totals. */
function readChildValue(reader: NodeBytes, totals: Totals): void {
  reader.skip(DIGEST_BYTES);
  const entries = reader.varint();
  const files = reader.varint();
  if (entries === 0 || files > entries) throw new MalformedError(`${files} files of ${entries} entries`);
  totals.entries += entries;
  totals.files += files;
  totals.sizeBytes += reader.varint();
}
