import { describe } from 'vitest';
import { detectLayout, layoutOf, tensorsOf, type Layout } from '../../packages/core/src/chunking/layout.js';
import { HEADER_LIMIT } from '../../packages/core/src/chunking/tensor-header.js';
import { parseShardMap } from '../../packages/core/src/volume/tensors.js';
import { ggufHeader, rawSafetensors, safetensorsHeader } from '../chunking/samples.js';
import type { Dice } from './dice.js';
import { fuzz } from './fuzz.js';
import { MalformedError } from '../../packages/core/src/util/bytes.js';

const SAFETENSORS = [
  safetensorsHeader([]),
  safetensorsHeader([{ name: 'w', dtype: 'BF16', shape: [3, 5], offsets: [0, 30] }], { format: 'pt' }),
  safetensorsHeader([
    { name: 'a', dtype: 'F32', shape: [2], offsets: [30, 38] },
    { name: 'ü"\n', dtype: 'U8', offsets: [0, 30] },
    { name: 'empty', dtype: 'F16', shape: [0, 4], offsets: [38, 38] },
  ]),
  safetensorsHeader(
    Array.from({ length: 40 }, (_, i) => ({ name: `layers.${i}.weight`, dtype: 'I8', offsets: [i * 16, i * 16 + 16] as [number, number] })),
  ),
  rawSafetensors('{"a":{"dtype":"F4","shape":[2,2],"data_offsets":[0,2]}}  '),
];
const GGUF = [
  ggufHeader({ tensors: [] }),
  ggufHeader({ tokens: ['<s>', 'héllo', ''], tensors: [{ name: 'token_embd.weight', shape: [256, 10], type: 12, offset: 0 }] }),
  ggufHeader({ version: 2, alignment: 64, tensors: [{ name: 'a', shape: [5], type: 0, offset: 0 }, { name: 'b', shape: [32], type: 30, offset: 64 }] }), // prettier-ignore
];

/** A region or tensor in the wrong place would make two files of one, or have bytes read as another tensor's. */
function checkLayout(bytes: Uint8Array): Layout {
  const layout = layoutOf(bytes);
  let end = 0;
  for (const region of layout.regions) {
    if (region.start !== end || !(region.end > region.start)) throw new Error('regions with gaps, or empty ones');
    end = region.end;
  }
  if (end !== Infinity || layout.headerBytes > bytes.length) throw new Error('a layout that ends');
  const tensors = tensorsOf(bytes);
  if (layout.format === 'generic') {
    if (tensors.length > 0 && layout.headerBytes === 0) throw new Error('tensors of a generic file');
    throw new MalformedError('generic');
  }
  let last = layout.headerBytes;
  for (const { name, offset, size, shape } of tensors) {
    if (typeof name !== 'string' || offset < last || size < 0 || !Number.isSafeInteger(offset + size))
      throw new Error('tensors that overlap');
    if (!shape.every((length) => Number.isSafeInteger(length) && length >= 0)) throw new Error('a shape that is none');
    last = offset + size;
  }
  // The answer is the same however the prefix comes.
  for (let given = 0; ;) {
    const found = detectLayout(bytes.subarray(0, given), given === bytes.length);
    if ('layout' in found) {
      if (JSON.stringify(found.layout) !== JSON.stringify(layout)) throw new Error('another layout from a shorter prefix');
      return layout;
    }
    if (found.need <= given || found.need > HEADER_LIMIT) throw new Error(`wants ${found.need} bytes after ${given}`);
    given = Math.min(bytes.length, found.need);
  }
}

/** Makes the length in front of the header that of what is there, give or take. */
function resealLength(bytes: Buffer, dice: Dice): Buffer {
  if (bytes.length >= 8 && dice.oneIn(2)) bytes.writeBigUInt64LE(BigInt(bytes.length - 8), 0);
  return bytes;
}

describe('files of weights', () => {
  fuzz({
    name: 'safetensors header',
    share: 100,
    samples: SAFETENSORS,
    tokens: [
      '"dtype":',
      '"shape":[',
      '"data_offsets":[',
      '"__metadata__":{',
      '"__proto__":',
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '\\u0000',
      '\\ud800',
      'F64',
      'NaN',
      '-0',
      '[[[[[[[[',
      '\ufeff',
    ].map((text) => Buffer.from(text)),
    fields: () => [{ at: 0, bytes: 8 }, { at: 0, bytes: 4 }, { at: 4, bytes: 4 }], // prettier-ignore
    reseal: resealLength,
    check(bytes) {
      if (checkLayout(bytes).format !== 'safetensors') return;
      const tensors = tensorsOf(bytes);
      const start = layoutOf(bytes).headerBytes;
      // A tensor of no known dtype may have any shape; written anew it has the shape of its bytes.
      const again = safetensorsHeader(
        tensors.map(({ name, dtype, shape, offset, size }) => ({
          name,
          dtype,
          shape,
          offsets: [offset - start, offset - start + size] as [number, number],
        })),
      );
      if (tensors.some(({ name }) => name === '__proto__' || name === '__metadata__' || /^\d+$/.test(name))) return;
      const shift = layoutOf(again).headerBytes - start;
      const told = JSON.stringify(tensors.map((tensor) => ({ ...tensor, offset: tensor.offset + shift })));
      if (JSON.stringify(tensorsOf(again)) !== told) throw new Error(`other tensors: ${told} ${JSON.stringify(tensorsOf(again))}`);
    },
    memory: { perByte: 16, fixed: 8000 },
  });

  fuzz({
    name: 'GGUF header',
    share: 100,
    samples: GGUF,
    tokens: [
      Buffer.from('GGUF'),
      Buffer.from('general.alignment'),
      Buffer.from('0900000009000000ffffffffffff0f00', 'hex'),
      Buffer.from('0900000008000000ffffff0000000000', 'hex'),
    ],
    fields: () => [{ at: 4, bytes: 4 }, { at: 8, bytes: 8 }, { at: 16, bytes: 8 }, { at: 24, bytes: 8 }], // prettier-ignore
    check: (bytes) => void checkLayout(bytes),
    memory: { perByte: 16, fixed: 8000 },
  });

  fuzz({
    name: 'index of shards',
    share: 50,
    samples: [
      Buffer.from(
        '{"metadata":{"total_size":123},"weight_map":{"a.weight":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors"}}',
      ),
      Buffer.from('{"weight_map":{}}'),
    ],
    tokens: [
      '"__proto__":',
      '"../x"',
      '"/etc/passwd"',
      '"a\\u0000"',
      '"a\\\\b"',
      '{',
      '}',
      '"weight_map":',
      'null',
      '[',
      ']',
      '"\\ud800"',
      '""',
    ].map((text) => Buffer.from(text)),
    check(bytes) {
      for (const [name, shard] of parseShardMap(bytes, 'models/model.safetensors.index.json')) {
        if (typeof name !== 'string') throw new Error('a name that is none');
        if (shard.startsWith('/') || /(^|\/)\.\.?(\/|$)|\0|\\/.test(shard)) throw new Error(`a shard elsewhere: ${shard}`);
      }
    },
    memory: { perByte: 16, fixed: 8000 },
  });
});
