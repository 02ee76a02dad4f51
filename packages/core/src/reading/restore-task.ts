import fs from 'node:fs';
import { wrapIoError } from '../errors.js';
import { chunkCount, chunkDigest, chunkLength } from '../workers/chunk-rows.js';
import type { WorkerEnvironment } from '../workers/environment.js';
import { ChunkFetcher } from './chunk-fetcher.js';
import type { ReadResult, RestoreFilesTask, RestorePartTask } from './messages.js';

/** Writes of this size run at full speed while the bytes are still in the cache. */
const WRITE_BYTES = 1 << 20;

/** Makes many files. A file that could not be finished is removed again. */
export async function restoreFiles(environment: WorkerEnvironment, task: RestoreFilesTask): Promise<ReadResult> {
  const writer = new FileWriter(environment, task);
  let row = 0;
  for (const file of task.files) {
    fillFile(createFile(file.path, file.executable), file, (fd) => writer.write(fd, file.path, 0, row, row + file.chunks));
    row += file.chunks;
  }
  return { missing: writer.missing };
}

/** Writes a part of one file. */
export async function restorePart(environment: WorkerEnvironment, task: RestorePartTask): Promise<ReadResult> {
  const writer = new FileWriter(environment, task);
  writer.write(task.fd, task.path, task.position, 0, chunkCount(task.rows));
  return { missing: writer.missing };
}

/** A new file, never through a symlink. `EEXIST` where there is one. */
export function createFile(path: string, executable: boolean): number {
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = fs.constants;
  try {
    return fs.openSync(path, O_WRONLY | O_CREAT | O_EXCL | (O_NOFOLLOW ?? 0), executable ? 0o777 : 0o666);
  } catch (error) {
    throw wrapIoError(error, `cannot create '${path}'`);
  }
}

/** Writes to a file, sets its time and closes it. A file that could not be finished is removed. */
export function fillFile(fd: number, { path, mtimeNs }: { path: string; mtimeNs: bigint }, write: (fd: number) => void): void {
  try {
    write(fd);
    setTime(fd, mtimeNs);
  } catch (error) {
    fs.rmSync(path, { force: true });
    throw error;
  } finally {
    fs.closeSync(fd);
  }
}

export function setTime(fd: number, mtimeNs: bigint): void {
  const seconds = Number(mtimeNs) / 1e9;
  fs.futimesSync(fd, seconds, seconds);
}

/** Writes all of `bytes`, however many calls the system takes. */
export function writeFully(fd: number, path: string, bytes: Uint8Array, position: number): void {
  try {
    for (let done = 0; done < bytes.byteLength;) done += fs.writeSync(fd, bytes, done, bytes.byteLength - done, position + done);
  } catch (error) {
    throw wrapIoError(error, `cannot write '${path}'`);
  }
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
  write(fd: number, path: string, position: number, from: number, to: number): void {
    const { window } = this.environment;
    let used = 0;
    const flush = (): void => {
      writeFully(fd, path, window.subarray(0, used), position);
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
        writeFully(fd, path, target, position);
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
