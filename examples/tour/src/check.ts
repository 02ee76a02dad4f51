import type { ReadView } from '@cairn/core';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import type { Readable } from 'node:stream';
import { timed } from './print.js';

async function digestOf(stream: Readable): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream as AsyncIterable<Uint8Array>) hash.update(chunk);
  return hash.digest('hex');
}

/** SHA-256 of a local file: a hash that Cairn does not use, so that the checks do not lean on what they check. */
export function sha256(path: string): Promise<string> {
  return digestOf(createReadStream(path, { highWaterMark: 1 << 20 }));
}

/** Counts what was compared with its source. The first difference ends the tour. */
export class Checks {
  files = 0;
  bytes = 0;
  /** Spent in `readInto` alone, without the comparison. */
  readSeconds = 0;
  readBytes = 0;
  /** Reused by all reads, as a loader of weights would do it; workers fill shared memory without a copy. */
  private buffer = new Uint8Array(new SharedArrayBuffer(0));

  equal(what: string, found: string, expected: string | undefined): void {
    if (found !== expected) throw new Error(`${what}: expected ${expected ?? 'no such file'}, found ${found}`);
  }

  /** Reads the whole file into memory, and compares it with its source. */
  async file(view: ReadView, path: string, expected: string | undefined): Promise<void> {
    const { size } = await view.stat(path);
    if (this.buffer.length < size) this.buffer = new Uint8Array(new SharedArrayBuffer(size)).fill(1);
    const target = this.buffer.subarray(0, size);
    const { result, seconds } = await timed(() => view.readInto({ path, target }));
    this.readSeconds += seconds;
    this.readBytes += result;
    this.equal(path, createHash('sha256').update(target).digest('hex'), expected);
    this.count(size);
  }

  /** The same by way of a stream. */
  async stream(view: ReadView, path: string, expected: string | undefined): Promise<void> {
    this.equal(path, await digestOf(view.createReadStream(path)), expected);
    this.count((await view.stat(path)).size);
  }

  private count(size: number): void {
    this.files++;
    this.bytes += size;
  }
}
