import type { MessagePort } from 'node:worker_threads';
import { AbortedError, type OperationControl } from '../workers/operation-control.js';
import type { Pressure } from '../workers/pressure.js';
import type { ByteSource } from './byte-source.js';

/** Enough for reader and writer to work side by side; every stream under way takes as much memory. */
const RING_BYTES = 8 << 20;
const HEADER_BYTES = 64;
/** Positions in the stream, as BigInt64. */
const WRITTEN = 0;
const RELEASED = 1;
/** Flags, as Int32 behind the positions. */
const ENDED = 4;
const BROKEN = 5;
const READER_WAITS = 6;
const WRITER_WAITS = 7;
const YIELD_WANTED = 8;

/** The one place where file bytes cross threads: a bounded ring in shared memory, with a port to wake the other side. */
export class Ring {
  readonly memory: SharedArrayBuffer;
  readonly capacity: number;
  private readonly positions: BigInt64Array;
  private readonly flags: Int32Array;
  private readonly bytes: Uint8Array;

  constructor(memory = new SharedArrayBuffer(HEADER_BYTES + RING_BYTES)) {
    this.memory = memory;
    this.positions = new BigInt64Array(memory, 0, 2);
    this.flags = new Int32Array(memory, 0, HEADER_BYTES / 4);
    this.bytes = new Uint8Array(memory, HEADER_BYTES);
    this.capacity = this.bytes.byteLength;
  }

  /** Position behind the last byte written. */
  get written(): number {
    return Number(Atomics.load(this.positions, WRITTEN));
  }

  /** Position before which nothing is needed any more. */
  get released(): number {
    return Number(Atomics.load(this.positions, RELEASED));
  }

  get ended(): boolean {
    return Atomics.load(this.flags, ENDED) !== 0;
  }

  /** Nothing more is written. */
  end(): void {
    Atomics.store(this.flags, ENDED, 1);
  }

  get broken(): boolean {
    return Atomics.load(this.flags, BROKEN) !== 0;
  }

  /** The stream failed: its reader is to give up. */
  break(): void {
    Atomics.store(this.flags, BROKEN, 1);
  }

  get yieldWanted(): boolean {
    return Atomics.load(this.flags, YIELD_WANTED) !== 0;
  }

  /** Somebody waits for what the reader has stored: it is to seal it when it next has nothing to do. */
  set yieldWanted(wanted: boolean) {
    Atomics.store(this.flags, YIELD_WANTED, wanted ? 1 : 0);
  }

  /** Writes as much of `data` as there is room for, and returns how much. */
  write(data: Uint8Array): number {
    const position = this.written;
    const count = Math.min(data.byteLength, this.capacity - (position - this.released));
    this.copy(position, count, (part, at) => part.set(data.subarray(at, at + part.byteLength)));
    Atomics.store(this.positions, WRITTEN, BigInt(position + count));
    return count;
  }

  /** Copies bytes that have been written and not released. */
  read(target: Uint8Array, position: number): void {
    this.copy(position, target.byteLength, (part, at) => target.set(part, at));
  }

  release(position: number): void {
    Atomics.store(this.positions, RELEASED, BigInt(position));
  }

  /** Says that one side is about to wait; look once more for what is waited for after this. */
  announceWait(side: 'reader' | 'writer'): void {
    Atomics.store(this.flags, side === 'reader' ? READER_WAITS : WRITER_WAITS, 1);
  }

  /** Whether the side has waited since it was last asked. */
  takeWait(side: 'reader' | 'writer'): boolean {
    return Atomics.exchange(this.flags, side === 'reader' ? READER_WAITS : WRITER_WAITS, 0) !== 0;
  }

  private copy(position: number, count: number, visit: (part: Uint8Array, at: number) => void): void {
    for (let at = 0; at < count;) {
      const from = (position + at) % this.capacity;
      const part = this.bytes.subarray(from, Math.min(this.capacity, from + count - at));
      visit(part, at);
      at += part.byteLength;
    }
  }
}

/** Raised at a chunk's boundary when a unit should seal what it has, and another go on from there. */
export class PauseError extends Error {}

/** A reader that has had nothing to do for this long lets others have its thread. */
const PATIENCE_MS = 50;
/** Input of one unit, as for files. */
const UNIT_BYTES = 256 << 20;

/** The worker's end of a ring. */
export class RingBytes implements ByteSource {
  readonly openEnded = true;
  /** Position behind the last chunk. */
  position: number;
  private readonly start: number;
  private readonly ring: Ring;
  private readonly port: MessagePort;
  private readonly control: OperationControl;
  private readonly pressure: Pressure;

  constructor(ring: Ring, port: MessagePort, control: OperationControl, pressure: Pressure) {
    this.ring = ring;
    this.port = port;
    this.control = control;
    this.pressure = pressure;
    this.start = this.position = ring.released;
  }

  /** @throws PauseError when the unit is full, or the stream stalls while somebody else could use the thread. */
  async read(target: Uint8Array, position: number): Promise<number> {
    if (this.position - this.start >= UNIT_BYTES) throw new PauseError();
    const available = await this.wait(position + target.byteLength);
    const count = Math.max(0, Math.min(target.byteLength, available - position));
    this.ring.read(target.subarray(0, count), position);
    return count;
  }

  release(position: number): void {
    this.position = position;
    this.ring.release(position);
    if (this.ring.takeWait('writer')) this.port.postMessage(null);
  }

  /** Position up to which there is data: `wanted` or more, unless the stream ends before. */
  private async wait(wanted: number): Promise<number> {
    for (;;) {
      // In this order: what was written before the end was announced is seen.
      const ended = this.ring.ended;
      const written = this.ring.written;
      if (ended || written >= wanted) return written;
      this.ring.announceWait('reader');
      if (this.ring.written !== written || this.ring.ended) continue;
      this.control.check();
      if (this.ring.broken) throw new AbortedError();
      const woken = await nextMessage(this.port, PATIENCE_MS);
      if (!woken && (this.pressure.waiting > 0 || this.ring.yieldWanted)) throw new PauseError();
    }
  }
}

/** Waits for a message, or a while; false when none came. */
export function nextMessage(port: MessagePort, timeoutMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const finish = (woken: boolean): void => {
      clearTimeout(timer);
      port.off('message', onMessage);
      port.off('close', onClose);
      resolve(woken);
    };
    const onMessage = (): void => finish(true);
    const onClose = (): void => finish(false);
    const timer = setTimeout(() => finish(false), timeoutMs);
    port.on('message', onMessage);
    port.on('close', onClose);
  });
}
