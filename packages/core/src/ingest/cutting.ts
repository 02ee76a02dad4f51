import { nextCut, TENSOR_BLOCK } from '../chunking/cuts.js';
import { detectLayout, type Layout } from '../chunking/layout.js';
import type { EncodingHint } from '../encoding/encoding.js';
import type { WorkerEnvironment } from '../workers/environment.js';
import type { ByteSource } from './byte-source.js';
import type { Span } from './messages.js';
import type { UnitWriter } from './unit-writer.js';

/** Read calls of this size run at full speed and leave the bytes in the cache for the hash. */
const READ_BYTES = 1 << 20;
/** Chunks keep their offset modulo this when they move: copies between other offsets run at a fifth of the speed. */
const ALIGNMENT = 64;

/** The worker's input buffer: a run of the source that moves forward with the chunks. */
class Window {
  private readonly memory: Uint8Array;
  private readonly source: ByteSource;
  /** Where in `memory` the run starts, and which position of the source that is. */
  private base = 0;
  private start = 0;
  private length = 0;

  constructor(memory: Uint8Array, source: ByteSource) {
    this.memory = memory;
    this.source = source;
  }

  /** Position behind the last byte held. */
  get end(): number {
    return this.start + this.length;
  }

  get capacity(): number {
    return this.memory.byteLength - ALIGNMENT;
  }

  /** The bytes from `start` up to `end`, which must be held. */
  view(start: number, end: number): Uint8Array {
    const at = this.base + start - this.start;
    return this.memory.subarray(at, at + end - start);
  }

  holds(start: number, end: number): boolean {
    return start >= this.start && end <= this.end;
  }

  /** Goes to a position, keeping what is held from there on. */
  seek(position: number): void {
    if (position >= this.start && position <= this.end) return;
    this.base = position % ALIGNMENT;
    this.start = position;
    this.length = 0;
  }

  /** Reads on, up to `limit`, and drops what lies before `keep` where room is needed. Returns the bytes read, 0 at the end. */
  async extend(keep: number, limit: number): Promise<number> {
    const wanted = Math.min(READ_BYTES, limit - this.end);
    if (this.base + this.length + wanted > this.memory.byteLength) this.drop(keep);
    const at = this.base + this.length;
    const count = await this.source.read(this.memory.subarray(at, at + wanted), this.end);
    this.length += count;
    return count;
  }

  private drop(keep: number): void {
    const from = this.base + keep - this.start;
    const base = keep % ALIGNMENT;
    this.memory.copyWithin(base, from, this.base + this.length);
    this.length -= keep - this.start;
    this.base = base;
    this.start = keep;
  }
}

/** Cuts a source into chunks and hands them to a unit. */
export class Cutter {
  private readonly environment: WorkerEnvironment;
  private readonly writer: UnitWriter;
  private readonly source: ByteSource;
  private readonly window: Window;

  constructor(environment: WorkerEnvironment, writer: UnitWriter, source: ByteSource) {
    this.environment = environment;
    this.writer = writer;
    this.source = source;
    this.window = new Window(environment.window, source);
  }

  /** A whole file of this size: what its beginning says decides how it is cut. */
  async file(size: number): Promise<void> {
    if (size === 0) return;
    for (const { start, end, rule, float } of (await this.layout(size)).regions) {
      if (start >= size) break;
      const clipped = { start, end: Math.min(end, size) };
      await this.span(rule === 'blocks' ? { rule, ...clipped, float: float === true } : { rule, ...clipped });
    }
  }

  /** As much of a span as there is: a stream may end inside. */
  async span(span: Span): Promise<void> {
    if (span.rule === 'generic') await this.generic(span.start, span.end);
    else if (span.rule === 'blocks') await this.blocks(span.start, span.end, span.float ? 'float' : 'data');
    else await this.cuts(span.start, span.lengths);
  }

  private async layout(size: number): Promise<Layout> {
    this.window.seek(0);
    for (let want = Math.min(size, READ_BYTES); ;) {
      const prefix = want <= this.window.capacity ? await this.heldPrefix(want) : await this.ownPrefix(want);
      const result = detectLayout(prefix, want === size);
      if ('layout' in result) return result.layout;
      want = Math.min(size, Math.max(result.need, want + 1));
    }
  }

  private async heldPrefix(length: number): Promise<Uint8Array> {
    while (this.window.end < length) await this.window.extend(0, length);
    return this.window.view(0, length);
  }

  /** A header larger than the window, which is rare: read into memory of its own. */
  private async ownPrefix(length: number): Promise<Uint8Array> {
    const prefix = new Uint8Array(length);
    await this.source.read(prefix, 0);
    return prefix;
  }

  private async generic(start: number, end: number): Promise<void> {
    this.window.seek(start);
    for (let scanned = start; start < end;) {
      const available = Math.min(this.window.end, end);
      const view = this.window.view(start, available);
      const cut = available > scanned ? nextCut(this.environment.scanner, view, 0, scanned - start, view.byteLength) : 0;
      scanned = available;
      if (cut > 0) {
        await this.emit(start, start + cut);
        scanned = start += cut;
      } else if (available === end || (await this.window.extend(start, end)) === 0) {
        if (available > start) await this.emit(start, available);
        return;
      }
    }
  }

  private async blocks(start: number, end: number, hint: EncodingHint): Promise<void> {
    for (let at = start; at < end; at += TENSOR_BLOCK) {
      if (!(await this.known(at, Math.min(TENSOR_BLOCK, end - at), hint))) return;
    }
  }

  private async cuts(start: number, lengths: Uint32Array): Promise<void> {
    for (const length of lengths) {
      await this.known(start, length, 'data');
      start += length;
    }
  }

  /** A chunk whose length is known before it is read. False where a stream ended before it did. */
  private async known(at: number, length: number, hint: EncodingHint): Promise<boolean> {
    if (!this.window.holds(at, at + length)) return (await this.writer.pull(this.source, at, length, hint)) === length;
    await this.emit(at, at + length, hint);
    return true;
  }

  private async emit(start: number, end: number, hint: EncodingHint = 'data'): Promise<void> {
    await this.writer.put(this.window.view(start, end), start, hint);
    this.source.release(end);
  }
}
