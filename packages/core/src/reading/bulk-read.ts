import { ObjectKind } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import type { NodeSource } from '../objects/node-store.js';
import { ChunkRowBuilder } from '../workers/chunk-rows.js';
import { Lanes } from '../workers/lanes.js';
import type { Operation } from '../workers/operation.js';
import type { TaskRunner } from '../workers/pool.js';
import { PLACE_FIELDS, type ReadResult, type ReadTask } from './messages.js';
import type { PackHandles } from './pack-handles.js';
import { grouped, piecesOf, type Piece, type ReadRequest } from './plan.js';
import { readRaw } from './raw-read.js';
import { ScratchPool } from './scratch.js';

/** Task into shared memory: long enough to hide the way to the worker and back. */
const MAX_TASK_BYTES = 32 << 20;
/** Task by way of scratch memory, whose bytes should still be in the cache when they are copied out. */
const MAX_SCRATCH_BYTES = 8 << 20;
const MIN_TASK_BYTES = 1 << 20;
const MAX_TASK_PIECES = 4000;

interface BulkOptions {
  nodes: NodeSource;
  verify: boolean;
}

/** Reads much, with all workers. */
export class BulkReader {
  private readonly workers: TaskRunner;
  private readonly index: IndexReader;
  private readonly packs: PackHandles;
  private readonly scratch = new ScratchPool(MAX_SCRATCH_BYTES);

  constructor(parts: { workers: TaskRunner; index: IndexReader; packs: PackHandles }) {
    this.workers = parts.workers;
    this.index = parts.index;
    this.packs = parts.packs;
  }

  async read(operation: Operation, requests: readonly ReadRequest[], total: number, options: BulkOptions): Promise<void> {
    const shared = requests.filter((request) => request.target.buffer instanceof SharedArrayBuffer);
    const plain = requests.filter((request) => !(request.target.buffer instanceof SharedArrayBuffer));
    const share = Math.ceil(total / (2 * this.workers.workers));
    const lanes = new Lanes(this.workers.workers + 1);
    const tasks = new Set<Promise<void>>();
    const begin = async (group: Piece[], work: (group: Piece[]) => Promise<void>): Promise<void> => {
      await lanes.acquire();
      operation.check();
      const task = work(group)
        .catch((error: unknown) => operation.fail(error))
        .finally(() => {
          lanes.release();
          tasks.delete(task);
        });
      tasks.add(task);
    };
    try {
      for (const group of grouped(piecesOf(options.nodes, shared), options.verify, taskBytes(share, MAX_TASK_BYTES), MAX_TASK_PIECES)) {
        await begin(group, (pieces) => this.direct(operation, pieces, options));
      }
      for (const group of grouped(piecesOf(options.nodes, plain), options.verify, taskBytes(share, MAX_SCRATCH_BYTES), MAX_TASK_PIECES)) {
        await begin(group, (pieces) => this.indirect(operation, pieces, options));
      }
    } catch (error) {
      operation.fail(error);
    }
    // Also after an error: the workers must be done with the targets before the caller has them back.
    while (tasks.size > 0) await Promise.all(tasks);
    operation.check();
  }

  /** The workers put the bytes where they are wanted. */
  private async direct(operation: Operation, pieces: Piece[], options: BulkOptions): Promise<void> {
    const targets: Uint8Array[] = [];
    const places = new Float64Array(pieces.length * PLACE_FIELDS);
    for (const [i, { target, at, from, to }] of pieces.entries()) {
      if (targets.at(-1) !== target) targets.push(target);
      places.set([targets.length - 1, at, from, to], i * PLACE_FIELDS);
    }
    await this.run(operation, pieces, places, targets, options);
  }

  /** The workers cannot reach the memory: what they have to look at goes by way of memory that they can. */
  private async indirect(operation: Operation, pieces: Piece[], options: BulkOptions): Promise<void> {
    const left = options.verify ? pieces : await readRaw(this.index, this.packs, pieces, operation.control);
    if (left.length > 0) await this.byScratch(operation, left, options);
  }

  private async byScratch(operation: Operation, pieces: Piece[], options: BulkOptions): Promise<void> {
    const size = pieces.reduce((sum, piece) => sum + piece.to - piece.from, 0);
    const slot = this.scratch.take(size);
    try {
      const places = new Float64Array(pieces.length * PLACE_FIELDS);
      let used = 0;
      for (const [i, { from, to }] of pieces.entries()) {
        places.set([0, used, from, to], i * PLACE_FIELDS);
        used += to - from;
      }
      const missing = await this.run(operation, pieces, places, [slot], options);
      copyOut(slot, pieces, missing);
    } finally {
      this.scratch.give(slot);
    }
  }

  /** Returns the pieces that are in no pack; they have been put into their targets from what is staged. */
  private async run(
    operation: Operation,
    pieces: Piece[],
    places: Float64Array,
    targets: Uint8Array[],
    options: BulkOptions,
  ): Promise<Set<number>> {
    const rows = new ChunkRowBuilder();
    for (const { digest, length } of pieces) rows.add(digest, length);
    const task: ReadTask = {
      type: 'read',
      control: operation.control.memory,
      verify: options.verify,
      rows: rows.finish(),
      places,
      targets,
    };
    const { missing } = await this.workers.run<ReadResult>('read', task);
    for (const number of missing) {
      const { digest, from, to, target, at } = pieces[number]!;
      target.set(options.nodes.get(ObjectKind.chunk, digest).subarray(from, to), at);
      operation.control.advance(to - from);
    }
    return new Set(missing);
  }
}

function taskBytes(share: number, limit: number): number {
  return Math.min(limit, Math.max(MIN_TASK_BYTES, share));
}

/** Copies from scratch memory to the targets, in as few copies as there are runs. */
function copyOut(slot: Uint8Array, pieces: Piece[], missing: Set<number>): void {
  let used = 0;
  for (let i = 0; i < pieces.length;) {
    const { target, at, from, to } = pieces[i]!;
    let length = to - from;
    let next = i + 1;
    if (!missing.has(i)) {
      for (; next < pieces.length && !missing.has(next) && pieces[next]!.target === target && pieces[next]!.at === at + length; next++) {
        length += pieces[next]!.to - pieces[next]!.from;
      }
      target.set(slot.subarray(used, used + length), at);
    }
    used += length;
    i = next;
  }
}
