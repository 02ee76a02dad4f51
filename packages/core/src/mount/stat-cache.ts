import type { BigIntStats } from 'node:fs';
import type { Hasher } from '../hash/hasher.js';
import { digestsEqual, asDigest, DIGEST_BYTES } from '../hash/digest.js';
import { sameRoot, type ManifestRoot } from '../manifest/entry.js';
import { TICK_MS } from '../ingest/source.js';
import { ByteReader, ByteWriter, MalformedError } from '../util/bytes.js';

/*
 * STORE/mounts/<id>/stat-cache:
 *
 *   "cairnsta" | version 1 (u32) | rows (u32) | flag (u8): 1 when the root follows | root (32)
 *   per row: v(bytes of the path shared with the row before) | v(bytes added) | added bytes of the path in UTF-8
 *            v(size) | mtime, ns (i64) | ctime, ns (i64) | inode (i64)
 *   BLAKE3 of all that (32)
 */
const MAGIC = Buffer.from('cairnsta', 'latin1');
const VERSION = 1;

/** What the system says of a file; as long as all of it stays, so do the bytes. */
export interface Stamp {
  size: number;
  mtimeNs: bigint;
  ctimeNs: bigint;
  inode: bigint;
}

export function stampOf(stat: BigIntStats): Stamp {
  return { size: Number(stat.size), mtimeNs: stat.mtimeNs, ctimeNs: stat.ctimeNs, inode: stat.ino };
}

export function sameStamp(a: Stamp | undefined, b: Stamp | undefined): boolean {
  return a !== undefined && b !== undefined && sameData(a, b) && a.ctimeNs === b.ctimeNs;
}

/** The same but for the change time, which links and renames move without touching the bytes. */
export function sameData(a: Stamp, b: Stamp): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.inode === b.inode;
}

/**
 * Whether every later edit would give another stamp than this one, taken at `nowMs` or later: the system's clock ticks, so that
 * an edit in the tick of the last one leaves no trace.
 */
export function isSettled(stamp: Stamp, nowMs: number): boolean {
  const limitNs = BigInt(nowMs - TICK_MS) * 1_000_000n;
  return stamp.mtimeNs <= limitNs && stamp.ctimeNs <= limitNs;
}

/**
 * Which files of a folder are known to hold what the tree `root` says, and how each looked then. A row that is missing
 * only costs a read.
 */
export class StatCache {
  private readonly rows = new Map<string, Stamp>();
  /** The tree that the file on disk is about, while it says the same as this; undefined: it does not. */
  private savedFor: ManifestRoot | undefined;

  /** Whether the file on disk has to be written again, to be about this tree. */
  isChangedFor(root: ManifestRoot): boolean {
    return this.savedFor === undefined || !sameRoot(this.savedFor, root);
  }

  get(path: string): Stamp | undefined {
    return this.rows.get(path);
  }

  /** Notes a file whose stamp was settled when it was taken. */
  set(path: string, { size, mtimeNs, ctimeNs, inode }: Stamp): void {
    // A copy of these fields alone: a million of them are kept.
    this.rows.set(path, { size, mtimeNs, ctimeNs, inode });
    this.savedFor = undefined;
  }

  delete(path: string): void {
    if (this.rows.delete(path)) this.savedFor = undefined;
  }

  encode(root: ManifestRoot, hasher: Hasher): Uint8Array {
    const writer = new ByteWriter(64 + this.rows.size * 64);
    writer.bytes(MAGIC).u32(VERSION).u32(this.rows.size);
    if (root === null) writer.u8(0);
    else writer.u8(1).bytes(root);
    let before: Uint8Array = new Uint8Array();
    for (const [path, stamp] of this.rows) {
      const name = Buffer.from(path, 'utf8');
      const shared = sharedBytes(before, name);
      writer.varint(shared).sized(name.subarray(shared));
      writer.varint(stamp.size).i64(stamp.mtimeNs).i64(stamp.ctimeNs).i64(BigInt.asIntN(64, stamp.inode));
      before = name;
    }
    const digest = hasher.digest(writer.finish());
    this.savedFor = root;
    return writer.bytes(digest).finish();
  }

  /** The cache for a tree; undefined when the bytes are damaged, of another version, or about another tree. */
  static decode(bytes: Uint8Array, root: ManifestRoot, hasher: Hasher): StatCache | undefined {
    const end = bytes.byteLength - DIGEST_BYTES;
    if (end < MAGIC.byteLength || !digestsEqual(hasher.digest(bytes.subarray(0, end)), asDigest(bytes.subarray(end)))) return undefined;
    try {
      return StatCache.read(new ByteReader(bytes.subarray(0, end)), root);
    } catch (error) {
      if (error instanceof MalformedError) return undefined;
      throw error;
    }
  }

  private static read(reader: ByteReader, root: ManifestRoot): StatCache | undefined {
    if (!MAGIC.equals(reader.bytes(MAGIC.byteLength)) || reader.u32() !== VERSION) return undefined;
    const count = reader.u32();
    const of = reader.u8() === 1 ? asDigest(reader.bytes(DIGEST_BYTES)) : null;
    if (!sameRoot(of, root)) return undefined;
    const cache = new StatCache();
    let before: Buffer = Buffer.alloc(0);
    for (let i = 0; i < count; i++) {
      const shared = reader.varint();
      if (shared > before.byteLength) throw new MalformedError('a path shares more than there is');
      before = Buffer.concat([before.subarray(0, shared), reader.sized()]);
      const size = reader.varint();
      const [mtimeNs, ctimeNs, inode] = [reader.i64(), reader.i64(), BigInt.asUintN(64, reader.i64())];
      cache.rows.set(before.toString('utf8'), { size, mtimeNs, ctimeNs, inode });
    }
    reader.end();
    cache.savedFor = root;
    return cache;
  }
}

function sharedBytes(a: Uint8Array, b: Uint8Array): number {
  const most = Math.min(a.byteLength, b.byteLength);
  let shared = 0;
  while (shared < most && a[shared] === b[shared]) shared++;
  return shared;
}
