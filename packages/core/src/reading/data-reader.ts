import type { ContentRef } from '../content/content.js';
import type { Disk } from '../disk/disk.js';
import { Decoder } from '../encoding/decoder.js';
import type { Hasher } from '../hash/hasher.js';
import type { IndexReader } from '../index/reader.js';
import type { NodeSource } from '../objects/node-store.js';
import type { PackId } from '../pack/pack-id.js';
import type { StoreLayout } from '../pack/store-layout.js';
import type { Work } from '../types.js';
import { Operation } from '../workers/operation.js';
import type { TaskRunner } from '../workers/pool.js';
import { BulkReader } from './bulk-read.js';
import type { CopyResult, CopyTask, PackCheck, VerifyPackTask } from './messages.js';
import { PackHandles } from './pack-handles.js';
import { costOf, piecesOf, wantedBytes, type ReadRequest } from './plan.js';
import { Restorer, type RestoreItem } from './restore.js';
import { SmallReader } from './small-read.js';
import { restoreSmall } from './small-restore.js';
import { contentStream } from './content-stream.js';

export type { ReadRequest } from './plan.js';
export type { RestoreItem } from './restore.js';
export type { PackCheck } from './messages.js';

export interface DataReadOptions extends Work {
  /** Where the content trees are read from, and chunks that are in no pack yet. */
  nodes: NodeSource;
  /** Check the digest of every chunk that is touched. Default true. */
  verify?: boolean | undefined;
}

/** Up to here a read is done before a worker has been woken. */
const SMALL_BYTES = 1 << 20;
/** The same for a restore of small files. */
const SMALL_FILES = 64;
/** Bytes of the chunks touched: a few bytes of many chunks are no small read. */
const SMALL_COST_BYTES = 2 << 20;

/** Reads file data: the one way from a content to its bytes. One per engine; calls may run side by side. */
export class DataReader {
  private readonly workers: TaskRunner;
  private readonly disk: Disk;
  private readonly packs: PackHandles;
  private readonly small: SmallReader;
  private readonly bulk: BulkReader;
  private readonly restorer: Restorer;

  constructor(parts: { workers: TaskRunner; disk: Disk; index: IndexReader; layout: StoreLayout; hasher: Hasher }) {
    this.workers = parts.workers;
    this.disk = parts.disk;
    this.packs = new PackHandles(parts.layout);
    this.small = new SmallReader({ index: parts.index, packs: this.packs, hasher: parts.hasher, decoder: new Decoder() });
    this.bulk = new BulkReader({ workers: parts.workers, index: parts.index, packs: this.packs });
    this.restorer = new Restorer(parts.workers, parts.disk);
  }

  /**
   * Fills each target from its position, up to the content's end; returns the bytes filled. Targets on shared memory are
   * filled by the workers themselves, others by way of scratch memory. Small reads never leave the calling thread.
   *
   * @throws DamageError when a chunk is missing or altered; targets then hold arbitrary bytes.
   */
  async readInto(requests: readonly ReadRequest[], options: DataReadOptions): Promise<number> {
    const total = requests.reduce((sum, request) => sum + wantedBytes(request), 0);
    if (total === 0) return 0;
    using operation = new Operation(options, ({ bytes }) => ({ phase: 'reading', bytes, totalBytes: total, files: 0, newBytes: 0 }));
    const { nodes, verify = true } = options;
    const few = total <= SMALL_BYTES ? [...piecesOf(nodes, requests)] : [];
    if (few.length > 0 && few.reduce((sum, piece) => sum + costOf(piece, verify), 0) <= SMALL_COST_BYTES) {
      await this.small.read(few, nodes, verify, operation.control);
      operation.control.advance(total);
    } else await this.bulk.read(operation, requests, total, { nodes, verify });
    operation.check();
    operation.report();
    return total;
  }

  /** The bytes [start, end) of a content, in pieces that the consumer may keep; a few of them are read ahead. */
  stream(content: ContentRef, start: number, end: number, options: DataReadOptions): AsyncGenerator<Uint8Array> {
    return contentStream((requests, work) => this.readInto(requests, work), content, start, end, options);
  }

  /**
   * Makes the files, which must not exist, with their times; large ones by all workers at once. When it fails, files that
   * were finished stay and others are removed.
   *
   * @throws an `EEXIST` or `ENOENT` error of the system as it comes; DamageError; CairnError.
   */
  async restoreFiles(items: Iterable<RestoreItem>, options: DataReadOptions): Promise<void> {
    const all = [...items];
    const isSmall = all.length <= SMALL_FILES && all.reduce((sum, { content }) => sum + content.length, 0) <= SMALL_BYTES;
    if (!isSmall) return this.restorer.files(all, options);
    return restoreSmall(this.disk, all, options, (requests) => this.readInto(requests, { ...options, onProgress: undefined }));
  }

  /** Reads a pack again, every payload of it, and reports what is damaged. @throws CairnError for errors of the system */
  async checkPack(id: PackId, options: Work = {}): Promise<PackCheck> {
    using operation = new Operation(options, ({ bytes }) => ({ phase: 'verifying', bytes, files: 0, newBytes: 0 }));
    const task: VerifyPackTask = { type: 'verify-pack', control: operation.control.memory, id };
    return await operation.part(() => this.workers.run<PackCheck>('read', task));
  }

  /** Copies objects as they are stored, each proven, into one new pack, which no index knows yet. */
  async copyObjects(sources: CopyTask['sources'], lease: string, options: Work = {}): Promise<CopyResult> {
    using operation = new Operation(options, ({ bytes }) => ({ phase: 'copying', bytes, files: 0, newBytes: 0 }));
    const task: CopyTask = { type: 'copy-objects', control: operation.control.memory, lease, sources };
    return await operation.part(() => this.workers.run<CopyResult>('store', task));
  }

  /** Closes descriptors. No read may be under way. */
  close(): void {
    this.packs.close();
  }
}
