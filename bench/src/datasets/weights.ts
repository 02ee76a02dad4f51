import { closeSync, fsyncSync, openSync, writeSync } from 'node:fs';
import { Random, gaussianQuantiles } from './random.js';

/**
 * - `bf16`, `fp32`: Gaussian weights, each tensor with a spread of its own.
 * - `bf16-tuned`: the same seed's bf16 weights after training: every weight moved by Gaussian noise of r = {@link TUNED_SPREAD} times its tensor's spread.
 */
export type WeightKind = 'bf16' | 'fp32' | 'bf16-tuned';

/** σ(difference) / σ(weight) between a model and its fine-tune. */
export const TUNED_SPREAD = 1e-2;

interface Tensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly elements: number;
}

const BLOCK_BYTES = 1 << 22;
/** Standard deviations that tensors of a transformer have. */
const SPREADS = [0.02, 0.014, 0.035, 0.009, 0.05];

/** Writes a safetensors file with `dataBytes` of tensors, laid out like a small language model. */
export function writeWeights(path: string, kind: WeightKind, dataBytes: number, seed: number): void {
  const width = kind === 'fp32' ? 4 : 2;
  const tensors = modelTensors(Math.floor(dataBytes / width));
  const fd = openSync(path, 'w');
  try {
    writeSync(fd, safetensorsHeader(tensors, kind === 'fp32' ? 'F32' : 'BF16', width));
    const quantiles = gaussianQuantiles();
    tensors.forEach((tensor, index) => {
      // A stream of random numbers per tensor and purpose: the tuned copy sees the same weights as its base, plus noise of its own.
      const weights = new Random(seed + index * 2);
      const noise = new Random(seed + index * 2 + 1);
      const spread = SPREADS[index % SPREADS.length] as number;
      const fill = filler(kind, quantiles, spread, weights, noise);
      const tensorBytes = tensor.elements * width;
      for (let done = 0; done < tensorBytes; done += BLOCK_BYTES) writeSync(fd, fill(Math.min(BLOCK_BYTES, tensorBytes - done)));
    });
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

type Filler = (bytes: number) => Uint8Array;

function filler(kind: WeightKind, quantiles: Float32Array, spread: number, weights: Random, noise: Random): Filler {
  const scaled = quantiles.map((quantile) => quantile * spread);
  const scaledBits = new Uint32Array(scaled.buffer);
  if (kind === 'fp32') return fp32Filler(scaledBits, weights);
  const bf16 = Uint16Array.from(scaledBits, roundToBf16);
  const fillBase = bf16Filler(bf16, weights);
  return kind === 'bf16' ? fillBase : tunedFiller(fillBase, quantiles, spread * TUNED_SPREAD, noise);
}

function bf16Filler(table: Uint16Array, random: Random): Filler {
  const words = new Uint32Array(BLOCK_BYTES / 4);
  const halves = new Uint16Array(words.buffer);
  return (bytes) => {
    random.fill(words.subarray(0, Math.ceil(bytes / 4)));
    const count = bytes / 2;
    for (let index = 0; index < count; index++) halves[index] = table[halves[index] as number] as number;
    return new Uint8Array(words.buffer, 0, bytes);
  };
}

/** Sign, exponent and the upper mantissa bits follow the Gaussian; the mantissa bits below them are uniform, as they nearly are in trained weights. */
function fp32Filler(scaledBits: Uint32Array, random: Random): Filler {
  const words = new Uint32Array(BLOCK_BYTES / 4);
  return (bytes) => {
    const count = bytes / 4;
    random.fill(words.subarray(0, count));
    for (let index = 0; index < count; index++) {
      const word = words[index] as number;
      words[index] = ((scaledBits[word >>> 16] as number) & 0xffff0000) | (word & 0xffff);
    }
    return new Uint8Array(words.buffer, 0, bytes);
  };
}

function tunedFiller(fillBase: Filler, quantiles: Float32Array, noiseSpread: number, random: Random): Filler {
  const words = new Uint32Array(BLOCK_BYTES / 4);
  const picks = new Uint16Array(words.buffer);
  const bits = new Uint32Array(1);
  const float = new Float32Array(bits.buffer);
  return (bytes) => {
    const block = fillBase(bytes);
    const halves = new Uint16Array(block.buffer, 0, bytes / 2);
    random.fill(words.subarray(0, Math.ceil(bytes / 4)));
    for (let index = 0; index < halves.length; index++) {
      bits[0] = (halves[index] as number) << 16;
      float[0] = (float[0] as number) + (quantiles[picks[index] as number] as number) * noiseSpread;
      halves[index] = roundToBf16(bits[0]);
    }
    return block;
  };
}

/** Round to nearest, ties to even, as training frameworks do. */
function roundToBf16(bits: number): number {
  return (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
}

/** An embedding, as many transformer layers as fit, and one tensor that takes the rest. */
function modelTensors(elements: number): Tensor[] {
  const hidden = elements >= 1 << 27 ? 1024 : 256;
  const feed = Math.floor(hidden * 2.75);
  const tensors: Tensor[] = [];
  let left = elements;
  const add = (name: string, ...shape: number[]): void => {
    const count = shape.reduce((product, side) => product * side, 1);
    tensors.push({ name, shape, elements: count });
    left -= count;
  };
  const vocabulary = 32_000;
  const layerElements = 4 * hidden * hidden + 3 * hidden * feed + 2 * hidden;
  if (left > vocabulary * hidden) add('model.embed_tokens.weight', vocabulary, hidden);
  for (let layer = 0; left >= layerElements; layer++) {
    for (const name of ['q', 'k', 'v', 'o']) add(`model.layers.${layer}.self_attn.${name}_proj.weight`, hidden, hidden);
    for (const name of ['gate', 'up']) add(`model.layers.${layer}.mlp.${name}_proj.weight`, feed, hidden);
    add(`model.layers.${layer}.mlp.down_proj.weight`, hidden, feed);
    for (const name of ['input', 'post_attention']) add(`model.layers.${layer}.${name}_layernorm.weight`, hidden);
  }
  if (left > 0) add('lm_head.weight', left);
  return tensors;
}

/** https://huggingface.co/docs/safetensors: u64 length, then JSON padded with blanks to eight bytes. */
function safetensorsHeader(tensors: readonly Tensor[], dtype: string, width: number): Uint8Array {
  let offset = 0;
  const entries = tensors.map(({ name, shape, elements }) => {
    const begin = offset;
    offset += elements * width;
    return [name, { dtype, shape, data_offsets: [begin, offset] }] as const;
  });
  return frameHeader(JSON.stringify(Object.fromEntries([['__metadata__', { format: 'pt' }], ...entries])));
}

/** The length prefix, the JSON, and blanks to the next multiple of eight. */
export function frameHeader(json: string): Uint8Array {
  const text = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8, ' '), 'latin1');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text]);
}
