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
const ALIGNMENT = 64;
/** Tasks at once without verification: as many as the system's own threads, of which libuv has four. */
const RAW_LANES = 4;

interface BulkOptions {
  nodes: NodeSource;
  verify: boolean;
}

/** Reads much, with all workers. */
export class BulkReader {
  private readonly workers: TaskRunner;
  private readonly index: IndexReader;
  private readonly packs: PackHandles;
  private readonly scratch = new ScratchPool(MAX_SCRATCH_BYTES + MAX_TASK_PIECES * ALIGNMENT);

  constructor(parts: { workers: TaskRunner; index: IndexReader; packs: PackHandles }) {
    this.workers = parts.workers;
    this.index = parts.index;
    this.packs = parts.packs;
  }

  async read(operation: Operation, requests: readonly ReadRequest[], total: number, options: BulkOptions): Promise<void> {
    const shared = requests.filter((request) => request.target.buffer instanceof SharedArrayBuffer);
    const plain = requests.filter((request) => !(request.target.buffer instanceof SharedArrayBuffer));
    const share = Math.ceil(total / (2 * this.workers.workers));
    const lanes = new Lanes(options.verify ? this.workers.workers + 1 : Math.max(this.workers.workers + 1, RAW_LANES));
    const tasks = new Set<Promise<void>>();
    const begin = async (group: Piece[], isShared: boolean): Promise<void> => {
      await lanes.acquire();
      operation.check();
      const task = this.fill(operation, group, isShared, options)
        .catch((error: unknown) => operation.fail(error))
        .finally(() => {
          lanes.release();
          tasks.delete(task);
        });
      tasks.add(task);
    };
    try {
      for (const isShared of [true, false]) {
        const pieces = piecesOf(options.nodes, isShared ? shared : plain);
        const bytes = taskBytes(share, isShared ? MAX_TASK_BYTES : MAX_SCRATCH_BYTES);
        for (const group of grouped(pieces, options.verify, bytes, MAX_TASK_PIECES)) await begin(group, isShared);
      }
    } catch (error) {
      operation.fail(error);
    }
    // Also after an error: the workers must be done with the targets before the caller has them back.
    while (tasks.size > 0) await Promise.all(tasks);
    operation.check();
  }

  /** What no one has to look at comes straight from the disk, all else by way of the workers. */
  private async fill(operation: Operation, pieces: Piece[], isShared: boolean, options: BulkOptions): Promise<void> {
    const left = options.verify ? pieces : await readRaw(this.index, this.packs, pieces, operation.control);
    if (left.length > 0) await (isShared ? this.byWorkers(operation, left, options) : this.byScratch(operation, left, options));
  }

  /** They put it where it is wanted. */
  private async byWorkers(operation: Operation, pieces: Piece[], options: BulkOptions): Promise<void> {
    const targets: Uint8Array[] = [];
    const places = new Float64Array(pieces.length * PLACE_FIELDS);
    for (const [i, { target, at, from, to }] of pieces.entries()) {
      if (targets.at(-1) !== target) targets.push(target);
      places.set([targets.length - 1, at, from, to], i * PLACE_FIELDS);
    }
    await this.run(operation, pieces, places, targets, options);
  }

  /** They cannot reach the memory: it goes by way of memory that they can. */
  private async byScratch(operation: Operation, pieces: Piece[], options: BulkOptions): Promise<void> {
    const { places, runs, bytes } = scratchLayout(pieces);
    const slot = this.scratch.take(bytes);
    try {
      await this.run(operation, pieces, places, [slot], options);
      for (const { target, at, from, length } of runs) target.set(slot.subarray(from, from + length), at);
    } finally {
      this.scratch.give(slot);
    }
  }

  /** Has pieces put at their places; those that are in no pack come from what is staged. */
  private async run(
    operation: Operation,
    pieces: Piece[],
    places: Float64Array,
    targets: Uint8Array[],
    options: BulkOptions,
  ): Promise<void> {
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
    for (const row of missing) {
      const { digest, from, to } = pieces[row]!;
      const [number, at] = places.subarray(row * PLACE_FIELDS) as unknown as [number, number];
      targets[number]!.set(options.nodes.get(ObjectKind.chunk, digest).subarray(from, to), at);
      operation.control.advance(to - from);
    }
  }
}

function taskBytes(share: number, limit: number): number {
  return Math.min(limit, Math.max(MIN_TASK_BYTES, share));
}

/** Bytes that lie together in scratch memory, from `from` on, and in a target. */
interface Run {
  target: Uint8Array;
  at: number;
  from: number;
  length: number;
}

/** Where pieces lie in scratch memory: as they will lie in their targets, so that few copies bring them there. */
function scratchLayout(pieces: Piece[]): { places: Float64Array; runs: Run[]; bytes: number } {
  const places = new Float64Array(pieces.length * PLACE_FIELDS);
  const runs: Run[] = [];
  let used = 0;
  for (const [i, { target, at, from, to }] of pieces.entries()) {
    let run = runs.at(-1);
    if (run === undefined || run.target !== target || run.at + run.length !== at) {
      // Copies out of shared memory run at a third of the speed between addresses that differ modulo 8.
      used += mod(target.byteOffset + at - used, ALIGNMENT);
      run = { target, at, from: used, length: 0 };
      runs.push(run);
    }
    places.set([0, used, from, to], i * PLACE_FIELDS);
    run.length += to - from;
    used += to - from;
  }
  return { places, runs, bytes: used };
}

function mod(value: number, divisor: number): number {
  return ((value % divisor) + divisor) % divisor;
}
