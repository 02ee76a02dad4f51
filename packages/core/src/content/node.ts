/**
 * A content node lists the parts of a run of bytes, in order. Integers marked v are varints (LEB128).
 *
 *      0         1       2
 *      +---------+-------+---------+----------------------+--------------------+
 *      | version | level | count v | count × digest (32)  | count × extent     |
 *      +---------+-------+---------+----------------------+--------------------+
 *
 *      level 1   the digests are chunks;  extent = v(length × 2), or v(length × 2 + 1) v(repeats)
 *                when the same chunk follows itself: `repeats` times in all, 2 or more
 *      level 2+  the digests are nodes of the level below;  extent = v(bytes below)
 *
 * A node ends after the first entry, from the 64th on, whose digest has seven zero bits at its end, and
 * after 1024 entries at most. On random digests that is 192 entries on average; since a run of one chunk
 * is one entry, a file of zeros has no long stretch without an end either. The end of a node depends on
 * its own entries only, so equal lists give equal nodes, and after an edit the old ends are soon met again.
 */
import { asDigest, DIGEST_BYTES, type Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import { ByteReader, ByteWriter, MalformedError } from '../util/bytes.js';
import { MAX_CONTENT_HEIGHT } from './content-ref.js';

export const CONTENT_NODE_VERSION = 1;
const MIN_ENTRIES = 64;
const MAX_ENTRIES = 1024;
/** One digest in 128 ends a node: 64 + 128 entries on average. */
const END_MASK = 0x7f;
/** Far above the largest chunk; keeps length × 2 exact. */
const MAX_CHUNK_BYTES = 2 ** 32 - 1;

/** One entry: `repeats` times (above level 1 always once) the part `digest` of `length` bytes. */
export interface ContentEntry {
  readonly digest: Digest;
  readonly length: number;
  readonly repeats: number;
}

/** Whether a node of `count` entries ends behind its last one, which has this digest. */
export function endsContentNode(count: number, last: Digest): boolean {
  return count >= MAX_ENTRIES || (count >= MIN_ENTRIES && (last[DIGEST_BYTES - 1]! & END_MASK) === 0);
}

export function encodeContentNode(level: number, entries: readonly ContentEntry[]): Uint8Array {
  const writer = new ByteWriter(entries.length * (DIGEST_BYTES + 4) + 8);
  writer.u8(CONTENT_NODE_VERSION).u8(level).varint(entries.length);
  for (const entry of entries) writer.bytes(entry.digest);
  for (const { length, repeats } of entries) {
    if (level > 1) writer.varint(length);
    else if (length > MAX_CHUNK_BYTES) throw new RangeError(`a chunk of ${length} bytes`);
    else if (repeats === 1) writer.varint(length * 2);
    else writer.varint(length * 2 + 1).varint(repeats);
  }
  return writer.finish();
}

/** A decoded node. Offsets and lengths are in bytes; offsets count from the node's own start. */
export class ContentNode {
  readonly level: number;
  readonly count: number;
  /** All bytes below this node. */
  readonly length: number;
  private readonly digests: Uint8Array;
  private readonly lengths: Float64Array;
  private readonly ends: Float64Array;

  constructor(level: number, digests: Uint8Array, lengths: Float64Array, ends: Float64Array) {
    this.level = level;
    this.count = ends.length;
    this.length = ends[ends.length - 1]!;
    this.digests = digests;
    this.lengths = lengths;
    this.ends = ends;
  }

  /** Where entry `index` starts; the node's length for `index` = count. */
  start(index: number): number {
    return index === 0 ? 0 : this.ends[index - 1]!;
  }

  /** The entry, with a copy of its digest: it may outlive the node. */
  entry(index: number): ContentEntry {
    const digest = new Uint8Array(DIGEST_BYTES);
    digest.set(this.digests.subarray(index * DIGEST_BYTES, (index + 1) * DIGEST_BYTES));
    const length = this.lengths[index]!;
    return { digest: asDigest(digest), length, repeats: (this.ends[index]! - this.start(index)) / length };
  }

  /** The entry that holds the byte at `offset`, which must lie inside the node. */
  indexAt(offset: number): number {
    let low = 0;
    let high = this.count - 1;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.ends[middle]! > offset) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** @throws MalformedError on anything that `encodeContentNode` cannot have written */
export function decodeContentNode(bytes: Uint8Array): ContentNode {
  const reader = new ByteReader(bytes);
  const version = reader.u8();
  if (version !== CONTENT_NODE_VERSION) throw new MalformedError(`content node of version ${version}`);
  const level = reader.u8();
  if (level < 1 || level > MAX_CONTENT_HEIGHT) throw new MalformedError(`content node of level ${level}`);
  const count = reader.varint();
  if (count < 1 || count > MAX_ENTRIES) throw new MalformedError(`content node of ${count} entries`);
  const digests = reader.bytes(count * DIGEST_BYTES);
  const lengths = new Float64Array(count);
  const ends = new Float64Array(count);
  let end = 0;
  for (let i = 0; i < count; i++) {
    const extent = reader.varint();
    const length = level > 1 ? extent : Math.floor(extent / 2);
    const repeats = level > 1 || extent % 2 === 0 ? 1 : reader.varint();
    if (length < 1 || (level === 1 && length > MAX_CHUNK_BYTES)) throw new MalformedError(`part of ${length} bytes`);
    if (repeats < 2 && level === 1 && extent % 2 === 1) throw new MalformedError(`run of ${repeats}`);
    end += length * repeats;
    if (end > Number.MAX_SAFE_INTEGER) throw new MalformedError('content over 2^53 bytes');
    lengths[i] = length;
    ends[i] = end;
  }
  reader.end();
  return new ContentNode(level, digests, lengths, ends);
}

/**
 * What a node needs to be whole, for marking and checking: chunks or nodes, one per entry.
 *
 * @throws MalformedError
 */
export function contentReferences(bytes: Uint8Array): { kind: ObjectKind; digest: Digest }[] {
  const node = decodeContentNode(bytes);
  const kind = node.level === 1 ? ObjectKind.chunk : ObjectKind.contentNode;
  return Array.from({ length: node.count }, (_, i) => ({ kind, digest: node.entry(i).digest }));
}
