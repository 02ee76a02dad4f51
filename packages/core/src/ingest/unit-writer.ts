import type { EncodingHint } from '../encoding/encoding.js';
import { Encoding } from '../encoding/encoding.js';
import { asDigest, DIGEST_BYTES, digestKey, type Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import { PackWriter } from '../pack/pack-writer.js';
import { chunkDigest, ChunkRowBuilder } from '../workers/chunk-rows.js';
import type { WorkerEnvironment } from '../workers/environment.js';
import { OperationControl } from '../workers/operation-control.js';
import type { ByteSource } from './byte-source.js';
import { ClaimTable, UNCLAIMED } from './claims.js';
import { BORROWED_FIELDS, type UnitResult } from './messages.js';

/** What a unit may do about a new chunk that another unit is storing: leave it to that one, or store it itself. */
export type ClaimMode = 'borrow' | 'store';

/** A point that a unit can go back to. */
export interface Mark {
  chunks: number;
  borrowed: number;
  logicalBytes: number;
}

/**
 * The deduplicating end of a work unit: takes chunks in order, keeps their digests, and writes those that are new into the
 * unit's own pack. A chunk is new when neither this unit, nor the index, nor a unit that runs beside this one has it.
 */
export class UnitWriter {
  private readonly environment: WorkerEnvironment;
  private readonly unit: number;
  private readonly mode: ClaimMode;
  private readonly control: OperationControl;
  private readonly claims: ClaimTable;
  private readonly pack: PackWriter;
  private readonly rows = new ChunkRowBuilder();
  private readonly seen = new Set<string>();
  private readonly borrowed: number[] = [];
  private readonly borrowedKeys: string[] = [];
  private publicationsSeen: number;
  private logicalBytes = 0;
  private newBytes = 0;
  /** Number, within the task, of the source that the next chunks come from. */
  source = 0;

  static async begin(
    environment: WorkerEnvironment,
    task: { unit: number; lease: string; control: SharedArrayBuffer },
    mode: ClaimMode,
  ): Promise<UnitWriter> {
    return new UnitWriter(environment, task, mode, new PackWriter(await environment.shelfOf(task.lease), environment.packBuffers));
  }

  private constructor(
    environment: WorkerEnvironment,
    task: { unit: number; control: SharedArrayBuffer },
    mode: ClaimMode,
    pack: PackWriter,
  ) {
    this.environment = environment;
    this.unit = task.unit;
    this.control = new OperationControl(task.control);
    this.mode = mode;
    this.pack = pack;
    this.claims = new ClaimTable(environment.config.claims);
    this.publicationsSeen = this.claims.publications;
    environment.index.refresh();
  }

  /** Takes a chunk that lies in memory, at `offset` of the current source. */
  async put(bytes: Uint8Array, offset: number, hint: EncodingHint): Promise<void> {
    this.control.check();
    const digest = this.admit(bytes, offset);
    if (digest === undefined) return;
    const packed = this.environment.encoder.encode(bytes, hint);
    const encoding = packed === null ? Encoding.raw : Encoding.zstd;
    await this.pack.append(ObjectKind.chunk, digest, encoding, bytes.byteLength, packed ?? bytes);
  }

  /**
   * Reads the next chunk, of `length` bytes or what is left, and takes it; returns the bytes read. It is read to where it
   * will lie in the pack: a new chunk that stays raw is never copied, and known ones pass through the same few pages.
   */
  async pull(source: ByteSource, offset: number, length: number, hint: EncodingHint): Promise<number> {
    this.control.check();
    const window = await this.pack.reserve(length);
    const count = await source.read(window, offset);
    if (count === 0) return 0;
    const bytes = window.subarray(0, count);
    const digest = this.admit(bytes, offset);
    if (digest !== undefined) {
      const packed = this.environment.encoder.encode(bytes, hint);
      if (packed === null) this.pack.commitRaw(ObjectKind.chunk, digest, count);
      else await this.pack.append(ObjectKind.chunk, digest, Encoding.zstd, count, packed);
    }
    source.release(offset + count);
    return count;
  }

  /** Of the chunk taken last. Valid until the next one is taken. */
  get lastDigest(): Digest {
    return chunkDigest(this.rows.memory, this.rows.count - 1);
  }

  mark(): Mark {
    return { chunks: this.rows.count, borrowed: this.borrowedKeys.length, logicalBytes: this.logicalBytes };
  }

  chunksSince(mark: Mark): number {
    return this.rows.count - mark.chunks;
  }

  /** Forgets the chunks taken since. Those that went into the pack stay there and are known from now on. */
  goBack(mark: Mark): void {
    this.rows.truncate(mark.chunks);
    this.control.advance(mark.logicalBytes - this.logicalBytes);
    this.logicalBytes = mark.logicalBytes;
    this.borrowed.length = mark.borrowed * BORROWED_FIELDS;
    for (const key of this.borrowedKeys.splice(mark.borrowed)) this.seen.delete(key);
  }

  /** Seals the pack. Nothing can be taken after it. */
  async finish(): Promise<UnitResult> {
    this.control.check();
    return {
      pack: await this.pack.seal(),
      rows: this.rows.finish(),
      borrowed: Float64Array.from(this.borrowed),
      logicalBytes: this.logicalBytes,
      newBytes: this.newBytes,
    };
  }

  /** Removes what was written. */
  abort(): Promise<void> {
    return this.pack.abort();
  }

  /** Adds the chunk's row; returns its digest when the chunk is to be stored here. */
  private admit(bytes: Uint8Array, offset: number): Digest | undefined {
    const length = bytes.byteLength;
    const at = this.rows.open(length);
    this.environment.hasher.digestInto(bytes, this.rows.memory, at);
    const digest = asDigest(this.rows.memory.subarray(at, at + DIGEST_BYTES));
    this.logicalBytes += length;
    this.control.advance(length);
    const key = digestKey(digest);
    if (this.seen.has(key)) return undefined;
    this.seen.add(key);
    if (this.isStored(digest) || !this.claimed(digest, key, offset)) return undefined;
    this.newBytes += length;
    this.control.advanceNew(length);
    return digest;
  }

  private isStored(digest: Digest): boolean {
    return this.environment.index.packOf(ObjectKind.chunk, digest) !== undefined;
  }

  /** Whether the chunk is this unit's to store. */
  private claimed(digest: Digest, key: string, offset: number): boolean {
    const owner = this.claims.claim(digest, this.unit);
    if (owner === UNCLAIMED) return true;
    if (owner !== this.unit) {
      if (this.mode === 'store') return true;
      this.borrowed.push(owner, this.source, offset, this.rows.count - 1);
      this.borrowedKeys.push(key);
      return false;
    }
    // Between the look into the index and the claim, its last owner may have published it and let go.
    const publications = this.claims.publications;
    if (publications === this.publicationsSeen) return true;
    this.publicationsSeen = publications;
    this.environment.index.refresh();
    if (!this.isStored(digest)) return true;
    this.claims.withdraw(digest, this.unit);
    return false;
  }
}
