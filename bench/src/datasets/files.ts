import { closeSync, fsyncSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Random } from './random.js';
import { frameHeader } from './weights.js';

const BLOCK_BYTES = 1 << 22;
const FILES_PER_FOLDER = 1000;
/** Keeps the header of one file well under the 32 MiB up to which a reader takes it for a safetensors header. */
const TENSORS_PER_FILE = 400_000;
const TINY_TENSOR_BYTES = 16;

/** Bytes without any structure: nothing to compress, nothing to deduplicate, no known format. */
export function writeGeneric(path: string, bytes: number, seed: number): void {
  const random = new Random(seed);
  const words = new Uint32Array(BLOCK_BYTES / 4);
  const fd = openSync(path, 'w');
  try {
    for (let done = 0; done < bytes; done += BLOCK_BYTES) {
      random.fill(words);
      writeSync(fd, new Uint8Array(words.buffer, 0, Math.min(BLOCK_BYTES, bytes - done)));
    }
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** `count` files of random bytes, a thousand to a folder. */
export function writeSmallFiles(dir: string, count: number, fileBytes: number, seed: number): void {
  const random = new Random(seed);
  const words = new Uint32Array(Math.ceil(fileBytes / 4));
  for (let index = 0; index < count; index++) {
    const folder = join(dir, `part-${String(Math.floor(index / FILES_PER_FOLDER)).padStart(5, '0')}`);
    if (index % FILES_PER_FOLDER === 0) mkdirSync(folder);
    random.fill(words);
    writeFileSync(
      join(folder, `sample-${String(index % FILES_PER_FOLDER).padStart(4, '0')}.bin`),
      new Uint8Array(words.buffer, 0, fileBytes),
    );
  }
}

/**
 * Safetensors files with `count` tensors of {@link TINY_TENSOR_BYTES} random bytes between them. A tensor starts a chunk of its own, so this is
 * the cheapest way to a store that holds millions of chunks.
 */
export function writeTinyTensors(dir: string, count: number, seed: number): void {
  const random = new Random(seed);
  for (let first = 0; first < count; first += TENSORS_PER_FILE) {
    const tensors = Math.min(TENSORS_PER_FILE, count - first);
    const entries = Array.from({ length: tensors }, (_, index) => {
      const begin = index * TINY_TENSOR_BYTES;
      return `"t${index}":{"dtype":"U8","shape":[${TINY_TENSOR_BYTES}],"data_offsets":[${begin},${begin + TINY_TENSOR_BYTES}]}`;
    });
    const words = new Uint32Array((tensors * TINY_TENSOR_BYTES) / 4);
    random.fill(words);
    const data = new Uint8Array(words.buffer);
    writeFileSync(join(dir, `tiny-${first / TENSORS_PER_FILE}.safetensors`), Buffer.concat([frameHeader(`{${entries.join(',')}}`), data]));
  }
}
