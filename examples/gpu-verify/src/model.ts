import { createHash } from 'node:crypto';
import { openStore, type Store, type Volume } from '@cairn/core';

/** A store with weights that are made up. */
export interface Model {
  store: Store;
  volume: Volume;
  dir: string;
  large: Uint8Array;
  tensors: { bytes: Uint8Array; parts: Map<string, Uint8Array> };
}

export async function makeModel(dir: string, largeBytes: number): Promise<Model> {
  const store = await openStore(dir);
  const volume = await store.volumes.fromName('models', { createIfMissing: true });
  const [tensors, large] = [safetensors(), noise(largeBytes, 7)];
  await volume.writeFile('tensors.safetensors', tensors.bytes);
  await volume.writeFile('large.bin', large);
  await volume.commit();
  return { store, volume, dir, large, tensors };
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** FNV-1a of 64 bits in hexadecimal, as the consumer in C prints it: in halves of 32 bits. */
export function fnv1a(bytes: Uint8Array): string {
  let [high, low] = [0xcbf29ce4, 0x84222325];
  for (const byte of bytes) {
    low = (low ^ byte) >>> 0;
    // Times 0x100000001b3: the low half goes into the high one shifted by 8, too.
    const product = low * 0x1b3;
    high = (Math.imul(high, 0x1b3) + Math.floor(product / 2 ** 32) + (low << 8)) >>> 0;
    low = product >>> 0;
  }
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

/** Bytes without structure, the same for the same seed. */
function noise(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}

/** A file with a tensor of every element size, of odd shapes. */
function safetensors(): Model['tensors'] {
  const kinds = [['U8', 1], ['F8_E4M3', 1], ['BF16', 2], ['F16', 2], ['F32', 4], ['I64', 8], ['C64', 8]] as const; // prettier-ignore
  const parts = new Map<string, Uint8Array>();
  let at = 0;
  const entries = kinds.map(([dtype, elementBytes], i) => {
    const shape = [1000 + i, 257] as const;
    const bytes = noise(shape[0] * shape[1] * elementBytes, i);
    parts.set(`t.${dtype}`, bytes);
    return [`t.${dtype}`, { dtype, shape, data_offsets: [at, (at += bytes.length)] }];
  });
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return { bytes: new Uint8Array(Buffer.concat([length, json, ...parts.values()])), parts };
}
