import { PAGE_ALIGNMENT } from './page.js';

const INITIAL_BYTES = 64 << 10;

/** Pages one after another, in memory that threads share. What was put there stays as it is; a changed page is put there anew. */
export class PageMemory {
  /** Bytes used. */
  used = 0;
  private buffer: Uint8Array;

  constructor(bytes = INITIAL_BYTES) {
    this.buffer = sharedBytes(bytes);
  }

  get bytes(): Uint8Array {
    return this.buffer.subarray(0, this.used);
  }

  /** For other threads, which read below `used` only. */
  get shared(): SharedArrayBuffer {
    return this.buffer.buffer as SharedArrayBuffer;
  }

  /** Takes in whole pages. Returns where they begin. */
  append(pages: Uint8Array): number {
    const offset = this.used;
    if (offset + pages.byteLength > this.buffer.byteLength) {
      const grown = sharedBytes(Math.max(this.buffer.byteLength * 2, offset + pages.byteLength));
      grown.set(this.bytes);
      this.buffer = grown;
    }
    this.buffer.set(pages, offset);
    this.used += pages.byteLength;
    return offset;
  }
}

function sharedBytes(bytes: number): Uint8Array {
  return new Uint8Array(new SharedArrayBuffer(Math.ceil(bytes / PAGE_ALIGNMENT) * PAGE_ALIGNMENT));
}
