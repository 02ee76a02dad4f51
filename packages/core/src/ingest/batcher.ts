import type { LocalSource } from './source.js';

/** Input of one unit at most: what an interrupted run repeats, and what a reader keeps open, per pack. */
export const MAX_UNIT_BYTES = 256 << 20;
const MAX_UNIT_FILES = 4000;
/** Smaller units cost more in syncs than they gain by being spread over the workers. */
export const MIN_UNIT_BYTES = 16 << 20;
const MIN_UNIT_FILES = 500;

/** Work for one unit, or for several when it is one large file. */
export type Batch<S> = { files: S[] } | { large: S; segmentBytes: number };

/**
 * Groups sources into units without knowing how many will come. What waits is bounded; units shrink towards the end, so
 * that all workers finish at about the same time.
 */
export class Batcher<S extends LocalSource> {
  private readonly workers: number;
  private readonly pending: S[] = [];
  private first = 0;
  private bytes = 0;

  constructor(workers: number) {
    this.workers = workers;
  }

  add(source: S): void {
    this.pending.push(source);
    this.bytes += source.stat.size;
  }

  /** The next work, if it is time: enough waits for full units, or a worker is idle and there is work worth a unit. */
  next(idle: boolean): Batch<S> | undefined {
    const shares = 2 * this.workers;
    const full = this.bytes >= shares * MAX_UNIT_BYTES || this.waiting >= shares * MAX_UNIT_FILES;
    const worthwhile = idle && (this.bytes >= MIN_UNIT_BYTES || this.waiting >= MIN_UNIT_FILES);
    return full || worthwhile ? this.take() : undefined;
  }

  /** All remaining work, when no more sources will come. */
  *rest(): Generator<Batch<S>> {
    while (this.waiting > 0) yield this.take();
  }

  private get waiting(): number {
    return this.pending.length - this.first;
  }

  private take(): Batch<S> {
    const shares = 2 * this.workers;
    const unitBytes = clamp(this.bytes / shares, MIN_UNIT_BYTES, MAX_UNIT_BYTES);
    const unitFiles = clamp(this.waiting / shares, MIN_UNIT_FILES, MAX_UNIT_FILES);
    const head = this.shift();
    if (head.stat.size > unitBytes) return { large: head, segmentBytes: unitBytes };
    const files = [head];
    let bytes = head.stat.size;
    while (this.waiting > 0 && files.length < unitFiles && bytes + this.pending[this.first]!.stat.size <= unitBytes) {
      bytes += this.pending[this.first]!.stat.size;
      files.push(this.shift());
    }
    return { files };
  }

  private shift(): S {
    const source = this.pending[this.first++]!;
    this.bytes -= source.stat.size;
    if (this.first >= 1024 && 2 * this.first >= this.pending.length) {
      this.pending.splice(0, this.first);
      this.first = 0;
    }
    return source;
  }
}

function clamp(value: number, low: number, high: number): number {
  return Math.ceil(Math.min(high, Math.max(low, value)));
}
