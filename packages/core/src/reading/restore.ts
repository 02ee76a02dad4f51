import type { ContentRef } from '../content/content.js';
import { chunksOf } from '../content/read.js';
import type { Disk, WritableFile } from '../disk/disk.js';
import { tryRemove } from '../disk/trees.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { NodeSource } from '../objects/node-store.js';
import { ChunkRowBuilder, chunkDigest, chunkLength, chunkCount } from '../workers/chunk-rows.js';
import { Lanes } from '../workers/lanes.js';
import { Operation } from '../workers/operation.js';
import type { TaskRunner } from '../workers/pool.js';
import type { DataReadOptions } from './data-reader.js';
import type { ReadResult, RestoreFilesTask, RestorePartTask } from './messages.js';
import { abandon, createFile, fillFile } from './restore-task.js';

/** A file to be made. */
export interface RestoreItem {
  path: string;
  content: ContentRef;
  executable: boolean;
  mtimeNs: bigint;
}

const MIN_TASK_BYTES = 4 << 20;
const MAX_TASK_BYTES = 64 << 20;
const MIN_TASK_FILES = 100;
const MAX_TASK_FILES = 1000;
/** A tree may repeat a chunk of one byte: what a task is told of its chunks must not outgrow their bytes. */
const MAX_TASK_CHUNKS = 1 << 16;

/** Brings contents back to the file system. */
export class Restorer {
  private readonly workers: TaskRunner;
  private readonly disk: Disk;

  constructor(workers: TaskRunner, disk: Disk) {
    this.workers = workers;
    this.disk = disk;
  }

  async files(all: readonly RestoreItem[], options: DataReadOptions): Promise<void> {
    const total = all.reduce((sum, item) => sum + item.content.length, 0);
    const shares = 2 * this.workers.workers;
    const taskBytes = clamp(total / shares, MIN_TASK_BYTES, MAX_TASK_BYTES);
    const taskFiles = clamp(all.length / shares, MIN_TASK_FILES, MAX_TASK_FILES);
    await this.inOperation(total, options, async (run) => {
      let group: RestoreItem[] = [];
      let bytes = 0;
      const flush = async (): Promise<void> => {
        if (group.length > 0) await run.files(group);
        [group, bytes] = [[], 0];
      };
      for (const item of all) {
        if (item.content.length > taskBytes || this.hasMany(item.content, options)) {
          await run.large(item, taskBytes);
          continue;
        }
        if (bytes + item.content.length > taskBytes || group.length >= taskFiles) await flush();
        group.push(item);
        bytes += item.content.length;
      }
      await flush();
    });
  }

  /** Whether a file has more chunks than a task takes, however small it is. */
  private hasMany(content: ContentRef, { nodes }: DataReadOptions): boolean {
    if (content.height === 0 || content.length <= MAX_TASK_CHUNKS) return false;
    let count = 0;
    for (const _chunk of chunksOf(nodes, content)) if (++count > MAX_TASK_CHUNKS) return true;
    return false;
  }

  private async inOperation(totalBytes: number, options: DataReadOptions, body: (run: RestoreRun) => Promise<unknown>): Promise<void> {
    let filesDone = 0;
    using operation = new Operation(options, ({ bytes }) => ({ phase: 'restoring', bytes, totalBytes, files: filesDone, newBytes: 0 }));
    const run = new RestoreRun({ workers: this.workers, disk: this.disk }, operation, options, (files) => (filesDone += files));
    try {
      await body(run);
    } catch (error) {
      operation.fail(error);
    }
    await run.settled();
    operation.check();
    operation.report();
  }
}

/** One restore: its tasks and what they have done. */
class RestoreRun {
  private readonly workers: TaskRunner;
  private readonly disk: Disk;
  private readonly operation: Operation;
  private readonly countFiles: (files: number) => void;
  private readonly nodes: NodeSource;
  private readonly verify: boolean;
  private readonly lanes: Lanes;
  private readonly tasks = new Set<Promise<void>>();

  constructor(
    { workers, disk }: { workers: TaskRunner; disk: Disk },
    operation: Operation,
    options: DataReadOptions,
    countFiles: (files: number) => void,
  ) {
    this.workers = workers;
    this.disk = disk;
    this.operation = operation;
    this.countFiles = countFiles;
    this.nodes = options.nodes;
    this.verify = options.verify ?? true;
    this.lanes = new Lanes(workers.workers + 1);
  }

  /** Settles when no task is under way any more. Never rejects. */
  async settled(): Promise<void> {
    while (this.tasks.size > 0) await Promise.all(this.tasks);
  }

  /** Starts a task that makes many files. */
  async files(items: RestoreItem[]): Promise<void> {
    await this.start(async () => {
      const rows = new ChunkRowBuilder();
      const files = items.map(({ path, content, executable, mtimeNs }) => {
        const before = rows.count;
        for (const { digest, length } of chunksOf(this.nodes, content)) rows.add(digest, length);
        return { path, executable, mtimeNs, chunks: rows.count - before };
      });
      const task: RestoreFilesTask = {
        type: 'restore-files',
        control: this.operation.control.memory,
        verify: this.verify,
        files,
        rows: rows.finish(),
      };
      const { missing } = await this.workers.run<ReadResult>('read', task);
      this.addStaged(task, new Set(missing));
      this.countFiles(items.length);
    });
  }

  /** Makes one large file by several tasks; returns when they have been started. */
  async large(item: RestoreItem, taskBytes: number): Promise<void> {
    const file = createFile(this.disk, item.path, item.executable);
    const parts = await this.parts(item.content, file, taskBytes);
    const finish = Promise.all(parts)
      .then(() => {
        this.operation.check();
        file.setTimeSync(item.mtimeNs);
        file.closeSync();
        this.countFiles(1);
      })
      .catch((error: unknown) => {
        this.operation.fail(error);
        abandon(this.disk, file);
      })
      .finally(() => this.tasks.delete(finish));
    this.tasks.add(finish);
  }

  /** Starts tasks that write a content to a file, which must stay open until all of them have settled. They never reject. */
  private async parts(content: ContentRef, file: WritableFile, taskBytes: number): Promise<Promise<void>[]> {
    const started: Promise<void>[] = [];
    try {
      let rows = new ChunkRowBuilder();
      let position = 0;
      let bytes = 0;
      const flush = async (): Promise<void> => {
        const part = { rows: rows.finish(), position };
        started.push((await this.start(() => this.part(file, part))).done);
        position += bytes;
        [rows, bytes] = [new ChunkRowBuilder(), 0];
      };
      for (const { digest, length } of chunksOf(this.nodes, content)) {
        if ((bytes + length > taskBytes || rows.count >= MAX_TASK_CHUNKS) && bytes > 0) await flush();
        rows.add(digest, length);
        bytes += length;
      }
      if (bytes > 0) await flush();
    } catch (error) {
      this.operation.fail(error);
    }
    return started;
  }

  private async part(file: WritableFile, { rows, position }: { rows: Uint8Array; position: number }): Promise<void> {
    const task: RestorePartTask = {
      type: 'restore-part',
      control: this.operation.control.memory,
      verify: this.verify,
      fd: file.fd,
      path: file.path,
      position,
      rows,
    };
    const missing = new Set((await this.workers.run<ReadResult>('read', task)).missing);
    this.writeStaged(file, rows, 0, chunkCount(rows), position, missing);
  }

  /** What the workers could not know of: chunks that are staged only. */
  private addStaged({ files, rows }: RestoreFilesTask, missing: Set<number>): void {
    if (missing.size === 0) return;
    let row = 0;
    const unfinished = new Set(files.map(({ path }) => path));
    try {
      for (const { path, mtimeNs, chunks } of files) {
        fillFile(this.disk, this.disk.open(path), mtimeNs, (file) => this.writeStaged(file, rows, row, row + chunks, 0, missing));
        unfinished.delete(path);
        row += chunks;
      }
    } finally {
      for (const path of unfinished) tryRemove(this.disk, path);
    }
  }

  private writeStaged(file: WritableFile, rows: Uint8Array, from: number, to: number, position: number, missing: Set<number>): void {
    for (let row = from; row < to; row++) {
      const length = chunkLength(rows, row);
      if (missing.has(row)) {
        file.writeSync(this.nodes.get(ObjectKind.chunk, chunkDigest(rows, row)), position);
        this.operation.control.advance(length);
      }
      position += length;
    }
  }

  /** Starts a task when there is room for it. `done` never rejects: errors end up in the operation. */
  private async start(work: () => Promise<void>): Promise<{ done: Promise<void> }> {
    await this.lanes.acquire();
    this.operation.check();
    const task = work()
      .catch((error: unknown) => this.operation.fail(error))
      .finally(() => {
        this.lanes.release();
        this.tasks.delete(task);
      });
    this.tasks.add(task);
    return { done: task };
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.ceil(Math.min(high, Math.max(low, value)));
}
