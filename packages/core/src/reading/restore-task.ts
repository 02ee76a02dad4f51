import type { Disk, WritableFile } from '../disk/disk.js';
import { tryRemove } from '../disk/trees.js';
import { chunkCount, chunkDigest, chunkLength } from '../workers/chunk-rows.js';
import type { WorkerEnvironment } from '../workers/environment.js';
import { ChunkFetcher } from './chunk-fetcher.js';
import type { ReadResult, RestoreFilesTask, RestorePartTask } from './messages.js';

/** Writes of this size run at full speed while the bytes are still in the cache. */
const WRITE_BYTES = 1 << 20;

/** Makes many files. A file that could not be finished is removed again. */
export async function restoreFiles(environment: WorkerEnvironment, task: RestoreFilesTask): Promise<ReadResult> {
  const disk = await environment.disk();
  const writer = new FileWriter(environment, task);
  let row = 0;
  for (const { path, executable, mtimeNs, chunks } of task.files) {
    fillFile(disk, createFile(disk, path, executable), mtimeNs, (file) => writer.write(file, 0, row, row + chunks));
    row += chunks;
  }
  return { missing: writer.missing };
}

/** Writes a part of one file. */
export async function restorePart(environment: WorkerEnvironment, task: RestorePartTask): Promise<ReadResult> {
  const disk = await environment.disk();
  const writer = new FileWriter(environment, task);
  writer.write(disk.attach(task.path, task.fd), task.position, 0, chunkCount(task.rows));
  return { missing: writer.missing };
}

/** A new file of a user's, never through a symlink. `EEXIST` where there is one. */
export function createFile(disk: Disk, path: string, executable: boolean): WritableFile {
  return disk.create(path, executable ? 0o777 : 0o666);
}

/** Writes to a file, sets its time and closes it. A file that could not be finished is removed. */
export function fillFile(disk: Disk, file: WritableFile, mtimeNs: bigint, write: (file: WritableFile) => void): void {
  try {
    write(file);
    file.setTimeSync(mtimeNs);
    // Where the bytes go out with the close, this is where a disk says that it is full.
    file.closeSync();
  } catch (error) {
    abandon(disk, file);
    throw error;
  }
}

/** Closes a file that could not be finished, and removes it. */
export function abandon(disk: Disk, file: WritableFile): void {
  try {
    file.closeSync();
  } catch {
    // what went wrong before matters more
  }
  tryRemove(disk, file.path);
}

/** Gathers chunks in the worker's memory and writes them in runs; chunks that are in no pack are left out. */
class FileWriter {
  readonly missing: number[] = [];
  private readonly environment: WorkerEnvironment;
  private readonly rows: Uint8Array;
  private readonly fetcher: ChunkFetcher;

  constructor(environment: WorkerEnvironment, task: { rows: Uint8Array; verify: boolean; control: SharedArrayBuffer }) {
    this.environment = environment;
    this.rows = task.rows;
    this.fetcher = new ChunkFetcher(environment, task);
  }

  /** The chunks [from, to) of the rows, from `position` of the file. */
  write(file: WritableFile, position: number, from: number, to: number): void {
    const { window } = this.environment;
    let used = 0;
    const flush = (): void => {
      if (used > 0) file.writeSync(window.subarray(0, used), position);
      position += used;
      used = 0;
    };
    for (let row = from; row < to; row++) {
      const digest = chunkDigest(this.rows, row);
      const length = chunkLength(this.rows, row);
      const location = this.fetcher.locate(digest);
      if (location === undefined) {
        this.missing.push(row);
        flush();
        position += length;
        continue;
      }
      if (used + length > window.byteLength) flush();
      if (length > window.byteLength) {
        const target = this.environment.logical(length);
        this.fetcher.fetch(digest, length, location, 0, length, target);
        file.writeSync(target, position);
        position += length;
        continue;
      }
      this.fetcher.fetch(digest, length, location, 0, length, window.subarray(used, used + length));
      used += length;
      if (used >= WRITE_BYTES) flush();
    }
    flush();
  }
}
