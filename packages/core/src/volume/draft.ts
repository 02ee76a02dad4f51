import type { ChunkRef, ContentRef } from '../content/content.js';
import { EMPTY_CONTENT } from '../content/content.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { NodeSink, NodeSource } from '../objects/node-store.js';
import type { Engine } from './engine.js';
import { rechunk } from './rechunk.js';
import { WriteBuffer } from './write-buffer.js';

/** Written bytes held in memory before they become chunks. */
const MAX_BUFFERED_BYTES = 8 << 20;

/**
 * A file being edited in place: its content as last stored, and what was written since. Reads see both. Small writes
 * gather here, so that a thousand appends make a few chunks and not a thousand versions of the last one.
 */
export class Draft {
  private readonly engine: Engine;
  private readonly nodes: NodeSource & NodeSink;
  private stored: ContentRef;
  private readonly written = new WriteBuffer();
  private length: number;

  constructor(engine: Engine, nodes: NodeSource & NodeSink, content: ContentRef = EMPTY_CONTENT) {
    this.engine = engine;
    this.nodes = nodes;
    this.stored = content;
    this.length = content.length;
  }

  /** As last stored. */
  get content(): ContentRef {
    return this.stored;
  }

  get size(): number {
    return this.length;
  }

  get dirty(): boolean {
    return this.written.size > 0 || this.length !== this.stored.length;
  }

  get full(): boolean {
    return this.written.size >= MAX_BUFFERED_BYTES;
  }

  /** Fills `target` from `position`; returns the bytes filled, fewer at the end of the file. */
  async read(position: number, target: Uint8Array): Promise<number> {
    const length = Math.max(0, Math.min(target.byteLength, this.length - position));
    const wanted = target.subarray(0, length);
    // What lies beyond the stored content and was not written is a hole of zeros.
    const fromStore = Math.max(0, Math.min(length, this.stored.length - position));
    wanted.fill(0, fromStore);
    if (fromStore > 0 && !this.written.covers(position, position + fromStore)) {
      const request = { content: this.stored, position, target: wanted.subarray(0, fromStore) };
      await this.engine.data.readInto([request], { nodes: this.nodes, verify: this.engine.verifyReads });
    }
    this.written.copyInto(position, wanted);
    return length;
  }

  write(position: number, data: Uint8Array): void {
    if (data.byteLength === 0) return;
    this.written.write(position, data);
    this.length = Math.max(this.length, position + data.byteLength);
  }

  async truncate(size: number): Promise<void> {
    // What was cut off reads as zeros when the file grows again, so the cut has to be stored first.
    if (size < this.stored.length && size < this.length) {
      this.written.truncate(size);
      this.length = size;
      await this.store();
    }
    this.written.truncate(size);
    this.length = size;
  }

  /** Forgets what was written and goes on from other content. */
  reset(content: ContentRef): void {
    this.written.truncate(0);
    this.stored = content;
    this.length = content.length;
  }

  /** Turns what was written into chunks, reusing every chunk that no write touched; returns the content. */
  async store(): Promise<ContentRef> {
    if (!this.dirty) return this.stored;
    const put = (bytes: Uint8Array): ChunkRef => ({ digest: this.nodes.put(ObjectKind.chunk, bytes), length: bytes.byteLength });
    this.stored = await rechunk({
      nodes: this.nodes,
      scanner: this.engine.scanner,
      before: this.stored,
      size: this.length,
      writtenRanges: this.written.ranges(),
      readBefore: (position, target) => this.readStored(position, target),
      readAfter: (position, target) => this.read(position, target),
      put,
    });
    this.written.truncate(0);
    return this.stored;
  }

  private async readStored(position: number, target: Uint8Array): Promise<number> {
    return this.engine.data.readInto([{ content: this.stored, position, target }], { nodes: this.nodes, verify: this.engine.verifyReads });
  }
}
