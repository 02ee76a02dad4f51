import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { TENSOR_BLOCK } from '../../packages/core/src/chunking/cuts.js';
import { GGML_TYPES } from '../../packages/core/src/chunking/ggml-types.js';
import { detectLayout, GENERIC_LAYOUT, type Layout, layoutOf, tensorsOf } from '../../packages/core/src/chunking/layout.js';
import { HEADER_LIMIT } from '../../packages/core/src/chunking/tensor-header.js';
import { type GgufSample, ggufHeader, rawSafetensors, safetensorsHeader, splitMix } from './samples.js';

const concat = (...parts: Uint8Array[]): Uint8Array => new Uint8Array(Buffer.concat(parts));
const isGeneric = (bytes: Uint8Array): boolean => layoutOf(bytes) === GENERIC_LAYOUT;
const rules = (layout: Layout): [string, number, number][] => layout.regions.map(({ rule, start, end }) => [rule, start, end]);

/** Asks for the prefix as a stream would have to, and returns how much of it was looked at. */
function detectInSteps(bytes: Uint8Array): { layout: Layout; given: number } {
  for (let given = 0; ;) {
    const found = detectLayout(bytes.slice(0, given), given === bytes.length);
    if ('layout' in found) return { layout: found.layout, given };
    if (found.need <= given || found.need > HEADER_LIMIT) throw new Error(`wants ${found.need} bytes after ${given}`);
    given = Math.min(bytes.length, found.need);
  }
}

const two = [
  { name: 'b', dtype: 'BF16', shape: [3, 5], offsets: [0, 30] as [number, number] },
  { name: 'a', dtype: 'I32', shape: [2], offsets: [30, 38] as [number, number] },
];

const GGUF: GgufSample = {
  tokens: ['<s>', 'héllo', ''],
  tensors: [
    { name: 'token_embd.weight', shape: [256, 10], type: 12, offset: 0 }, // Q4_K: 10 blocks of 144
    { name: 'norm.weight', shape: [5], type: 0, offset: 1440 }, // ends at 1460, padded to 1472
    { name: 'out.weight', shape: [32], type: 30, offset: 1472 },
  ],
};

describe('safetensors', () => {
  it('gives the header and every tensor a region, in the order of their offsets', () => {
    const header = safetensorsHeader([two[1]!, two[0]!], { format: 'pt' });
    const h = header.length;
    const layout = layoutOf(header);
    expect(layout.format).toBe('safetensors');
    expect(layout.headerBytes).toBe(h);
    expect(layout.regions).toEqual([
      { start: 0, end: h, rule: 'generic' },
      { start: h, end: h + 30, rule: 'blocks', dtype: 'BF16', float: true },
      { start: h + 30, end: h + 38, rule: 'blocks', dtype: 'I32', float: false },
      { start: h + 38, end: Infinity, rule: 'generic' },
    ]);
  });

  it('cuts gaps by the generic rule and lets empty tensors vanish', () => {
    const header = safetensorsHeader([
      { name: 'empty', dtype: 'F32', shape: [0, 4], offsets: [7, 7] },
      { name: 'x', offsets: [10, 20] },
      { name: 'y', offsets: [25, 26] },
    ]);
    const h = header.length;
    expect(rules(layoutOf(header))).toEqual([
      ['generic', 0, h],
      ['generic', h, h + 10],
      ['blocks', h + 10, h + 20],
      ['generic', h + 20, h + 25],
      ['blocks', h + 25, h + 26],
      ['generic', h + 26, Infinity],
    ]);
  });

  it('lists all tensors, empty ones included, with absolute offsets', () => {
    const header = safetensorsHeader([...two, { name: 'none', dtype: 'F16', shape: [0], offsets: [38, 38] }]);
    const h = header.length;
    expect(tensorsOf(concat(header, new Uint8Array(38)))).toEqual([
      { name: 'b', dtype: 'BF16', shape: [3, 5], offset: h, size: 30 },
      { name: 'a', dtype: 'I32', shape: [2], offset: h + 30, size: 8 },
      { name: 'none', dtype: 'F16', shape: [0], offset: h + 38, size: 0 },
    ]);
  });

  it('takes scalars, dtypes under a byte, dtypes of the future, escapes, white space, metadata', () => {
    const taken = [
      '{"s":{"dtype":"F64","shape":[],"data_offsets":[0,8]}}',
      '{"f4":{"dtype":"F4","shape":[6],"data_offsets":[0,3]}}',
      '{"n":{"dtype":"F2_NEW","shape":[6],"data_offsets":[0,3]}}',
      '{"a\\u00e9\\"é":{"shape":[1],"data_offsets":[0,1],"dtype":"U8"}}',
      ' {} '.trimStart(),
      '{\n "__metadata__" : {"a" : "b", "c":""} ,\t"x" :\r{"dtype" : "U8", "shape":[ 1 ],"data_offsets":[ 0 , 1]} }  ',
    ];
    for (const text of taken) expect(layoutOf(rawSafetensors(text)).format).toBe('safetensors');
    expect(tensorsOf(rawSafetensors(taken[3]!))[0]!.name).toBe('aé"é');
  });

  it('is generic as a whole when the header is malformed, contradictory or incomplete', () => {
    const x = '"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}';
    const refused = [
      '',
      '{',
      '[]',
      '{}x',
      '{"x":1}',
      '{"x":{}}',
      `{${x}`,
      `{${x},}`,
      `{${x} ${x}}`,
      `{${x},${x}}`, // the same name twice
      `{${x},"y":{"dtype":"U8","shape":[4],"data_offsets":[3,7]}}`, // overlapping
      `{${x},"y":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}`,
      '{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,5]}}', // lying about its size
      '{"x":{"dtype":"U8","shape":[4],"data_offsets":[4,0]}}',
      '{"x":{"dtype":"U8","shape":[4],"data_offsets":[-4,0]}}',
      '{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4,8]}}',
      '{"x":{"dtype":"U8","shape":[4],"data_offsets":[0]}}',
      '{"x":{"dtype":"U8","shape":[4.0],"data_offsets":[0,4]}}',
      '{"x":{"dtype":"U8","shape":[04],"data_offsets":[0,4]}}',
      '{"x":{"dtype":"U8","shape":["4"],"data_offsets":[0,4]}}',
      '{"x":{"dtype":"U8","shape":4,"data_offsets":[0,4]}}',
      '{"x":{"dtype":8,"shape":[4],"data_offsets":[0,4]}}',
      '{"x":{"dtype":"U8","shape":[4],"data_offsets":[0,4],"more":1}}',
      '{"x":{"dtype":"U8","dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
      '{"x":{"dtype":"U8","shape":[9007199254740993],"data_offsets":[0,9007199254740993]}}',
      '{"x":{"dtype":"U8","shape":[9007199254740991],"data_offsets":[0,9007199254740991]}}', // ends beyond 2^53
      '{"x":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,4]}}',
      '{"x\\q":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
      '{"x\n":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}',
      '{"__metadata__":null}',
      '{"__metadata__":{"a":1}}',
      `{"x":{"dtype":"U8","shape":[${'1,'.repeat(64)}4],"data_offsets":[0,4]}}`,
    ];
    for (const text of refused) expect([text, isGeneric(rawSafetensors(text))]).toEqual([text, true]);
    const header = safetensorsHeader(two);
    for (let length = 0; length < header.length; length++) expect(isGeneric(header.subarray(0, length))).toBe(true);
    expect(isGeneric(concat(rawSafetensors('{"'), Uint8Array.of(0xff, 0xfe), rawSafetensors('":1}')))).toBe(true);
  });

  it('accepts a header of the limit and treats a longer one as generic without asking for more', () => {
    const filled = (bytes: number): Uint8Array => rawSafetensors(`{${' '.repeat(bytes - 10)}}`);
    expect(layoutOf(filled(HEADER_LIMIT)).headerBytes).toBe(HEADER_LIMIT);
    expect(detectLayout(filled(HEADER_LIMIT + 1).subarray(0, 9), false)).toEqual({ layout: GENERIC_LAYOUT });
    expect(isGeneric(filled(HEADER_LIMIT + 1))).toBe(true);
  });
});

describe('gguf', () => {
  it.each([2, 3])('gives every tensor of version %i a region, paddings between them too', (version) => {
    const header = ggufHeader({ ...GGUF, version });
    const h = header.length;
    const layout = layoutOf(header);
    expect(layout.format).toBe('gguf');
    expect(layout.headerBytes).toBe(h);
    expect(layout.regions).toEqual([
      { start: 0, end: h, rule: 'generic' },
      { start: h, end: h + 1440, rule: 'blocks', dtype: 'Q4_K', float: false },
      { start: h + 1440, end: h + 1460, rule: 'blocks', dtype: 'F32', float: true },
      { start: h + 1460, end: h + 1472, rule: 'generic' },
      { start: h + 1472, end: h + 1536, rule: 'blocks', dtype: 'BF16', float: true },
      { start: h + 1536, end: Infinity, rule: 'generic' },
    ]);
    expect(tensorsOf(header)[1]).toEqual({ name: 'norm.weight', dtype: 'F32', shape: [5], offset: h + 1440, size: 20 });
  });

  it('counts offsets from the data start at the alignment that the file asks for', () => {
    const header = ggufHeader({ alignment: 4096, tensors: [{ name: 't', shape: [8], type: 24, offset: 4096 }] });
    expect(header.length % 4096).toBe(0);
    expect(tensorsOf(header)[0]!.offset).toBe(header.length + 4096);
  });

  it('knows the size of every type: one block each', () => {
    for (const [type, [dtype, elements, bytes]] of GGML_TYPES) {
      const [tensor] = tensorsOf(ggufHeader({ tensors: [{ name: 't', shape: [elements, 3], type, offset: 0 }] }));
      expect(tensor).toMatchObject({ dtype, size: 3 * bytes });
      expect(bytes / elements).toBeLessThanOrEqual(8);
    }
  });

  it('is generic in other versions and byte orders, and when malformed, contradictory or incomplete', () => {
    const one = (change: Partial<GgufSample['tensors'][number]>): Uint8Array =>
      ggufHeader({ tensors: [{ name: 't', shape: [32], type: 0, offset: 0, ...change }] });
    expect(isGeneric(one({}))).toBe(false);
    const refused = [
      ggufHeader({ ...GGUF, version: 1 }),
      ggufHeader({ ...GGUF, version: 4 }),
      ggufHeader({ ...GGUF, version: 0x03000000 }),
      ggufHeader({ ...GGUF, alignment: 48 }),
      one({ type: 4 }),
      one({ type: 1000 }),
      one({ type: 2, shape: [33] }),
      one({ offset: 16 }),
      one({ offset: 2n ** 53n - 32n }),
      one({ offset: 2n ** 63n }),
      one({ shape: [1, 1, 1, 1, 1] }),
      one({ shape: [2n ** 40n, 2n ** 40n] }),
      ggufHeader({ tensors: [1, 2].map((n) => ({ name: `t${n}`, shape: [32], type: 0, offset: 0 })) }),
      ggufHeader({ tensors: [1, 2].map((n) => ({ name: 'same', shape: [8], type: 0, offset: n * 32 })) }),
    ];
    for (const header of refused) expect(isGeneric(header)).toBe(true);
    const header = ggufHeader(GGUF);
    for (let length = 0; length < header.length; length++) expect(isGeneric(header.subarray(0, length))).toBe(true);
  });

  it('needs no more bytes once counts cannot be true', () => {
    const header = Buffer.from(ggufHeader(GGUF));
    const key = header.indexOf('tokenizer.ggml.tokens') + 'tokenizer.ggml.tokens'.length;
    header.writeBigUInt64LE(2n ** 40n, key + 8); // the number of tokens
    expect(detectInSteps(concat(header, splitMix(100_000, 1n))).layout).toBe(GENERIC_LAYOUT);
    header.writeUInt32LE(10, key + 4); // of u64, which now exceed the limit at once
    expect(detectLayout(header.subarray(0, key + 16), false)).toEqual({ layout: GENERIC_LAYOUT });
  });
});

describe('recognition', () => {
  const stackTraceLimit = Error.stackTraceLimit;
  afterEach(() => {
    Error.stackTraceLimit = stackTraceLimit;
  });

  const samples = [
    safetensorsHeader(two, { format: 'pt' }),
    ggufHeader(GGUF),
    ggufHeader({ ...GGUF, tokens: Array.from({ length: 20_000 }, (_, i) => `token ${i}`) }),
  ];

  it('does not depend on how much of the file is given, once it is enough', () => {
    for (const header of samples) {
      const whole = layoutOf(header);
      expect(whole.format).not.toBe('generic');
      for (const tail of [0, 1, 100_000]) {
        const file = concat(header, splitMix(tail, 9n));
        expect(layoutOf(file)).toEqual(whole);
        expect(detectLayout(file, false)).toEqual({ layout: whole });
        const inSteps = detectInSteps(file);
        expect(inSteps.layout).toEqual(whole);
        expect(inSteps.given).toBeLessThanOrEqual(Math.max(65_536, 2 * header.length));
      }
    }
  });

  it('takes text, zeros, noise and nothing as generic bytes after their first few bytes', () => {
    for (const bytes of [
      Buffer.from('{"a": 1}, a JSON file'),
      new Uint8Array(100),
      splitMix(100, 5n),
      new Uint8Array(0),
      Buffer.from('GGUF'),
    ]) {
      const { layout, given } = detectInSteps(bytes);
      expect(layout).toBe(GENERIC_LAYOUT);
      expect(given).toBeLessThanOrEqual(9);
    }
  });

  it(
    'gives regions that follow each other from 0 to infinity, none empty, and never throws, whatever the bytes',
    { timeout: 60_000 },
    () => {
      // Damage at random to real headers: bytes flipped, numbers set to extremes, parts cut out or doubled.
      const interesting = [0, 1, 0x22, 0x2c, 0x5b, 0x5d, 0x7b, 0x7d, 0x39, 0x7f, 0x80, 0xff];
      const seeds = samples.slice(0, 2);
      let recognised = 0;
      const words = new BigUint64Array(splitMix(20_000 * 8 * 8, BigInt(Date.now())).buffer);
      const seed = words[0];
      Error.stackTraceLimit = 0; // capturing stacks takes most of the time
      for (let run = 0, next = 0; run < 20_000; run++) {
        const random = (limit: number): number => Number(words[next++ % words.length]! % BigInt(limit));
        let bytes: Uint8Array = seeds[run % seeds.length]!.slice();
        for (let edits = random(3); edits >= 0; edits--) {
          const at = random(bytes.length);
          const kind = random(5);
          if (kind === 0) bytes[at] = random(256);
          else if (kind === 1) bytes[at] = interesting[random(interesting.length)]!;
          else if (kind === 2) bytes.fill(interesting[random(interesting.length)]!, at, at + 1 + random(8));
          else if (kind === 3) bytes = concat(bytes.subarray(0, at), bytes.subarray(Math.min(bytes.length, at + random(20))));
          else bytes = concat(bytes.subarray(0, at), bytes.subarray(Math.max(0, at - random(20))));
        }
        const { regions, format } = detectInSteps(bytes).layout;
        if (format !== 'generic') recognised++;
        let end = 0;
        for (const region of regions) {
          if (region.start !== end || region.end <= region.start)
            throw new Error(`regions do not follow each other (seed ${seed}, run ${run})`);
          end = region.end;
        }
        expect(end).toBe(Infinity);
        expect(regions.at(-1)!.rule).toBe('generic');
        tensorsOf(bytes);
      }
      expect(recognised).toBeGreaterThan(100);
      expect(recognised).toBeLessThan(19_000);
    },
  );

  it('takes any bytes at all', () => {
    fc.assert(
      fc.property(fc.constantFrom('', 'GGUF\x03\0\0\0', '\x10\0\0\0\0\0\0\0{"'), fc.uint8Array({ maxLength: 200 }), (start, rest) => {
        detectInSteps(concat(Buffer.from(start, 'latin1'), rest));
      }),
      { numRuns: 3000 },
    );
  });

  it('handles 100 000 tensors, and hostile headers of 32 MiB, without taking long', { timeout: 60_000 }, () => {
    const many = safetensorsHeader(
      Array.from({ length: 100_000 }, (_, i) => ({ name: `model.layers.${i}.weight`, offsets: [i, i + 1] as [number, number] })),
    );
    expect(layoutOf(many).regions).toHaveLength(100_002);
    const fill = (text: string, unit: string): Uint8Array =>
      rawSafetensors(text + unit.repeat(Math.floor((HEADER_LIMIT - 100) / unit.length)));
    for (const [start, unit] of [
      ['{"__metadata__":', '{"a":'],
      ['{"__metadata__":{', '"":"",'],
      ['{"', '\\n'],
      ['{', ' '],
    ] as const) {
      expect(isGeneric(fill(start, unit))).toBe(true);
    }
    const tensors = Buffer.alloc(HEADER_LIMIT); // as many as are allowed, without names
    ggufHeader({ tensors: [] }).forEach((byte, i) => (tensors[i] = byte));
    tensors.writeBigUInt64LE(2n ** 18n, 8);
    expect(isGeneric(tensors)).toBe(true);
    tensors.writeBigUInt64LE(2n ** 50n, 16); // then empty metadata keys
    expect(isGeneric(tensors)).toBe(true);
  });
});

it('a tensor block is 1 MiB', () => expect(TENSOR_BLOCK).toBe(1_048_576));
