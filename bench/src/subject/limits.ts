import { closeSync, openSync, readSync } from 'node:fs';

const BLOCK_BYTES = 1 << 20;

/** What the parts of an engine reach alone on this machine: no store can be faster than their sum. Each returns milliseconds for `bytes`. */
export const limitOperations = {
  /** Reads a file from the page cache, 1 MiB at a time into the same memory. */
  async readBlocks(path: string): Promise<number> {
    const block = Buffer.alloc(BLOCK_BYTES);
    const fd = openSync(path, 'r');
    try {
      const start = performance.now();
      while (readSync(fd, block, 0, BLOCK_BYTES, null) > 0);
      return performance.now() - start;
    } finally {
      closeSync(fd);
    }
  },

  /** Copies memory, 1 MiB at a time out of a range too large for the processor's caches. */
  async copyMemory(bytes: number): Promise<number> {
    const source = Buffer.alloc(64 * BLOCK_BYTES, 1);
    const block = Buffer.alloc(BLOCK_BYTES);
    const start = performance.now();
    for (let done = 0; done < bytes; done += BLOCK_BYTES) source.copy(block, 0, done % source.length);
    return performance.now() - start;
  },

  /** BLAKE3 of 1 MiB blocks by the native addon. */
  async hashBlocks(bytes: number): Promise<number> {
    const { Blake3Hasher } = await import('@napi-rs/blake-hash');
    const block = Buffer.alloc(BLOCK_BYTES, 1);
    const start = performance.now();
    for (let done = 0; done < bytes; done += BLOCK_BYTES) new Blake3Hasher().update(block).digestBuffer();
    return performance.now() - start;
  },
};
