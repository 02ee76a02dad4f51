import { closeSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { volumeIn } from './stores.js';

/** What the caller's buffer stands on: workers can write into the first directly. */
export type TargetKind = 'SharedArrayBuffer' | 'ArrayBuffer';

/** One target of each kind, reused by all reads: fresh memory would cost more than any read. */
const targets = new Map<TargetKind, Uint8Array>();

/** Linux reads at most 0x7ffff000 bytes in one call. */
const LARGEST_READ = 1 << 30;

export const readOperations = {
  /** Allocates a target and touches each of its pages. */
  async makeTarget(kind: TargetKind, bytes: number): Promise<void> {
    const buffer = kind === 'SharedArrayBuffer' ? new SharedArrayBuffer(bytes) : new ArrayBuffer(bytes);
    targets.set(kind, new Uint8Array(buffer).fill(1));
  },

  /** Reads one whole file of the volume's head into the target. @returns milliseconds */
  async readInto(dir: string, path: string, kind: TargetKind, verify: boolean): Promise<number> {
    const target = targetOf(kind);
    const volume = await volumeIn(dir);
    const start = performance.now();
    const bytes = await volume.readInto({ path, target }, { verify });
    const elapsed = performance.now() - start;
    await volume.close();
    if (bytes !== target.length) throw new Error(`read ${bytes} bytes instead of ${target.length}`);
    return elapsed;
  },

  /** Reads a plain file of the size of the target: in one thread by `fs.readSync`, else in as many equal parts at once by `fs.read`. @returns milliseconds */
  async readPlain(path: string, kind: TargetKind, threads: number): Promise<number> {
    const target = targetOf(kind);
    if (threads === 1) return readAtOnce(path, target);
    const file = await open(path);
    try {
      const part = Math.ceil(target.length / threads);
      const start = performance.now();
      await Promise.all(
        Array.from({ length: threads }, (_, index) => readRange(file, target, index * part, Math.min((index + 1) * part, target.length))),
      );
      return performance.now() - start;
    } finally {
      await file.close();
    }
  },

  /** Compares the target with a plain file, and clears it for the next read. */
  async checkTarget(path: string, kind: TargetKind): Promise<void> {
    const target = targetOf(kind);
    const block = Buffer.alloc(1 << 20);
    const fd = openSync(path, 'r');
    try {
      for (let position = 0; position < target.length;) {
        const count = readSync(fd, block, 0, block.length, position);
        if (count === 0 || block.subarray(0, count).compare(target, position, position + count) !== 0) {
          throw new Error(`the target differs from the file after byte ${position}`);
        }
        position += count;
      }
    } finally {
      closeSync(fd);
    }
    target.fill(1);
  },
};

function targetOf(kind: TargetKind): Uint8Array {
  const target = targets.get(kind);
  if (target === undefined) throw new Error(`no ${kind} was made`);
  return target;
}

function readAtOnce(path: string, target: Uint8Array): number {
  const fd = openSync(path, 'r');
  try {
    const start = performance.now();
    for (let done = 0; done < target.length;)
      done += required(readSync(fd, target, done, Math.min(LARGEST_READ, target.length - done), done));
    return performance.now() - start;
  } finally {
    closeSync(fd);
  }
}

async function readRange(file: FileHandle, target: Uint8Array, start: number, end: number): Promise<void> {
  for (let done = start; done < end;) {
    const { bytesRead } = await file.read(target, done, Math.min(LARGEST_READ, end - done), done);
    done += required(bytesRead);
  }
}

function required(count: number): number {
  if (count === 0) throw new Error('the file is shorter than the target');
  return count;
}
