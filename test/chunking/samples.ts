import { createHash } from 'node:crypto';

/** SplitMix64 as little-endian u64: `length` bytes, a multiple of 8 or cut to it. */
export function splitMix(length: number, seed: bigint): Uint8Array {
  const words = new BigUint64Array(Math.ceil(length / 8));
  let state = seed;
  for (let i = 0; i < words.length; i++) {
    state = BigInt.asUintN(64, state + 0x9e3779b97f4a7c15n);
    let z = state;
    z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    words[i] = z ^ (z >> 31n);
  }
  return new Uint8Array(words.buffer).subarray(0, length);
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** The period of the minimum-size trap: it triggers once a period. */
export const TRAP_PERIOD = Buffer.from(
  '9a342a229f4b7ee046ec0cc44fecb27c7f3263b22cb0ae7efaebcdaefc7a230a1465d645c10873699ee4786f88a2c6fbd3b7fdfca4933f10baa27517aa24cdbb' +
    'ae4cd2aed3af0cad913b0246deb59fe3b69cbd33e26a1832b79d8c0a0817d4460aea1721dbfe27ec4631bf7409730f651a9fa5dc0faa387d5ca35eeb26283151',
  'hex',
);

export function trap(length: number, pad: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => TRAP_PERIOD[i % (TRAP_PERIOD.length + pad)] ?? 0);
}

export interface SampleTensor {
  name: string;
  dtype?: string;
  shape?: number[];
  /** data_offsets in the file's data part. */
  offsets: [number, number];
}

/** A safetensors header, as the Python library writes it: compact, padded with spaces to 8. */
export function safetensorsHeader(tensors: SampleTensor[], metadata?: Record<string, string>): Uint8Array {
  const entries = tensors.map(({ name, dtype = 'U8', shape, offsets }) => [
    name,
    { dtype, shape: shape ?? [offsets[1] - offsets[0]], data_offsets: offsets },
  ]);
  const json = JSON.stringify(Object.fromEntries(metadata === undefined ? entries : [['__metadata__', metadata], ...entries]));
  return rawSafetensors(json.padEnd(Math.ceil(Buffer.byteLength(json) / 8) * 8 - (Buffer.byteLength(json) - json.length)));
}

/** Any text in the place of the JSON header. */
export function rawSafetensors(text: string): Uint8Array {
  const json = Buffer.from(text);
  const header = Buffer.alloc(8 + json.length);
  header.writeBigUInt64LE(BigInt(json.length));
  json.copy(header, 8);
  return new Uint8Array(header);
}

const u32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
const u64 = (value: number | bigint): Buffer => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};
const text = (value: string): Buffer => Buffer.concat([u64(Buffer.byteLength(value)), Buffer.from(value)]);

export interface GgufSample {
  version?: number;
  alignment?: number;
  tokens?: string[];
  tensors: { name: string; shape: (number | bigint)[]; type: number; offset: number | bigint }[];
}

/** A GGUF header up to the aligned start of the tensor data. */
export function ggufHeader({ version = 3, alignment, tokens, tensors }: GgufSample): Uint8Array {
  const metadata: Buffer[] = [
    Buffer.concat([text('general.architecture'), u32(8), text('llama')]),
    Buffer.concat([text('llama.rope.freq_base'), u32(6), u32(0x461c4000)]),
  ];
  if (alignment !== undefined) metadata.push(Buffer.concat([text('general.alignment'), u32(4), u32(alignment)]));
  if (tokens !== undefined)
    metadata.push(Buffer.concat([text('tokenizer.ggml.tokens'), u32(9), u32(8), u64(tokens.length), ...tokens.map(text)]));
  const body = Buffer.concat([
    Buffer.from('GGUF'),
    u32(version),
    u64(tensors.length),
    u64(metadata.length),
    ...metadata,
    ...tensors.map(({ name, shape, type, offset }) =>
      Buffer.concat([text(name), u32(shape.length), ...shape.map(u64), u32(type), u64(offset)]),
    ),
  ]);
  const dataStart = Math.ceil(body.length / (alignment ?? 32)) * (alignment ?? 32);
  return new Uint8Array(Buffer.concat([body, Buffer.alloc(dataStart - body.length)]));
}
