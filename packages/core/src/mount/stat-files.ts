import { join } from 'node:path';
import type { Disk } from '../disk/disk.js';
import { reads } from '../disk/reads.js';
import { removeFile, tryRemove } from '../disk/trees.js';
import { writeNewFile } from '../disk/write-file.js';
import { wrapIoError } from '../errors.js';
import { asDigest, DIGEST_BYTES, digestsEqual } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { type ManifestRoot, sameRoot } from '../manifest/entry.js';
import { readIfThere } from './durable-file.js';

/*
 * STORE/mounts/<id>/stat-cache-<number>, one per save; pages in a later one replace those of the same place:
 *
 *   "cairnsta" | version 2 (u32) | flags (u32): 1 what came before is void, 2 a root follows | root (32), or zeros
 *   pages (stamps/page.ts)
 *   BLAKE3 of all that (32)
 *
 * Numbers are in the machine's byte order: on a machine of another one the version is unknown.
 */
const NAME = /^stat-cache-(\d{1,15})$/;
const MAGIC = Buffer.from('cairnsta', 'latin1');
const VERSION = 2;
const BEGINS = 1;
const HAS_ROOT = 2;
const ROOT_AT = 16;
const HEADER_BYTES = ROOT_AT + DIGEST_BYTES;

/** Files are made one again when they take more than twice what is alive in them, and this. */
const SLACK_BYTES = 1 << 20;
/** Opening one costs what reading 50 KB does. */
const MAX_FILES = 256;

interface Part {
  begins: boolean;
  root: ManifestRoot;
  pages: Uint8Array;
}

/** The files of a stat cache: each save adds one with what changed, and now and then one replaces all. */
export class StatFiles {
  private readonly disk: Disk;
  private readonly dir: string;
  private readonly hasher: Hasher;
  private count = 0;
  private bytes = 0;
  private isTrusted = false;

  constructor(disk: Disk, dir: string, hasher: Hasher) {
    this.disk = disk;
    this.dir = dir;
    this.hasher = hasher;
  }

  /** The pages that were saved, oldest first; undefined when there are none, or they are about another tree. */
  read(root: ManifestRoot): Uint8Array[] | undefined {
    this.distrust();
    const { parts, isWhole } = this.row();
    const last = parts.at(-1);
    if (last === undefined || !sameRoot(last.root, root)) return undefined;
    this.isTrusted = isWhole;
    this.count = parts.length;
    this.bytes = parts.reduce((sum, { pages }) => sum + pages.byteLength, 0);
    return parts.map(({ pages }) => pages);
  }

  /** The tree that what was saved last is about; undefined where nothing is that can be believed. */
  lastRoot(): ManifestRoot | undefined {
    return this.row().parts.at(-1)?.root;
  }

  /** What can be believed of the files, oldest first, and whether that is all of them. */
  private row(): { parts: Part[]; isWhole: boolean } {
    const parts: Part[] = [];
    let expected: number | undefined;
    for (const number of this.numbers()) {
      const part = this.part(number);
      if (part?.begins === true) parts.length = 0;
      // A file that is torn, or missing, ends the row until one begins anew: what came before it is as true as it was.
      else if (part === undefined || number !== expected) {
        expected = undefined;
        continue;
      }
      parts.push(part);
      expected = number + 1;
    }
    return { parts, isWhole: expected !== undefined };
  }

  /** What is on disk says nothing true: the next save replaces it. */
  distrust(): void {
    this.isTrusted = false;
    this.count = this.bytes = 0;
  }

  /** Whether the next save had better replace all, `live` bytes of pages. */
  isWorthReplacing(live: number): boolean {
    return !this.isTrusted || this.count >= MAX_FILES || this.bytes > 2 * live + SLACK_BYTES;
  }

  /**
   * Adds what changed. Not synced: a file that a power cut tears, or loses, is not believed, and then files are read again.
   * @throws CairnError of the disk
   */
  append(root: ManifestRoot, pages: Iterable<Uint8Array>): void {
    this.write(this.next(), this.encode(root, pages, 0), false);
    this.count++;
  }

  /** @throws CairnError of the disk */
  replace(root: ManifestRoot, pages: Uint8Array): void {
    const number = this.next();
    this.bytes = 0;
    this.write(number, this.encode(root, [pages], BEGINS), true);
    [this.count, this.isTrusted] = [1, true];
    for (const other of this.numbers()) if (other < number) removeFile(this.disk, this.path(other));
  }

  private encode(root: ManifestRoot, pages: Iterable<Uint8Array>, flags: number): Buffer {
    const header = Buffer.alloc(HEADER_BYTES);
    MAGIC.copy(header);
    new Uint32Array(header.buffer, header.byteOffset + MAGIC.byteLength, 2).set([VERSION, root === null ? flags : flags | HAS_ROOT]);
    if (root !== null) header.set(root, ROOT_AT);
    const body = Buffer.concat([header, ...pages]);
    return Buffer.concat([body, this.hasher.digest(body)]);
  }

  private part(number: number): Part | undefined {
    const bytes = readIfThere(this.path(number));
    if (bytes === undefined || bytes.byteLength < HEADER_BYTES + DIGEST_BYTES || !MAGIC.equals(bytes.subarray(0, MAGIC.byteLength)))
      return undefined;
    const end = bytes.byteLength - DIGEST_BYTES;
    if (!digestsEqual(this.hasher.digest(bytes.subarray(0, end)), asDigest(bytes.subarray(end)))) return undefined;
    const [version, flags] = new Uint32Array(Uint8Array.from(bytes.subarray(MAGIC.byteLength, ROOT_AT)).buffer) as unknown as [
      number,
      number,
    ];
    if (version !== VERSION) return undefined;
    const root = (flags & HAS_ROOT) === 0 ? null : asDigest(Uint8Array.from(bytes.subarray(ROOT_AT, HEADER_BYTES)));
    return { begins: (flags & BEGINS) !== 0, root, pages: bytes.subarray(HEADER_BYTES, end) };
  }

  private write(number: number, bytes: Buffer, durable: boolean): void {
    const path = this.path(number);
    try {
      if (durable) writeNewFile(this.disk, path, bytes);
      else this.writeUnsynced(path, bytes);
    } catch (error) {
      tryRemove(this.disk, path);
      throw error;
    }
    this.bytes += bytes.byteLength;
  }

  private writeUnsynced(path: string, bytes: Buffer): void {
    const file = this.disk.create(path);
    try {
      file.writeSync(bytes, 0);
    } finally {
      file.closeSync();
    }
  }

  private next(): number {
    return (this.numbers().at(-1) ?? 0) + 1;
  }

  private numbers(): number[] {
    const numbers = namesIn(this.dir).flatMap((name) => NAME.exec(name)?.[1] ?? []);
    return numbers.map(Number).sort((a, b) => a - b);
  }

  private path(number: number): string {
    return join(this.dir, `stat-cache-${number}`);
  }
}

function namesIn(dir: string): string[] {
  try {
    return reads.readdirSync(dir);
  } catch (error) {
    throw wrapIoError(error, `cannot list ${dir}`);
  }
}
