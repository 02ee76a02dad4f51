import fc from 'fast-check';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, it, vi } from 'vitest';
import { Decoder } from '../../packages/core/src/encoding/decoder.js';
import { Encoder } from '../../packages/core/src/encoding/encoder.js';
import { Encoding } from '../../packages/core/src/encoding/encoding.js';
import { loadZstd } from '../../packages/core/src/encoding/zstd.js';
import { StoreFormatError } from '../../packages/core/src/errors.js';
import { MalformedError } from '../../packages/core/src/util/bytes.js';
import { pageMemory } from '../support/page-memory.js';

const decoder = new Decoder();

/** Real text of some size: the compiler's own source. */
const TEXT = readFileSync(createRequire(import.meta.url).resolve('typescript')).subarray(0, 1 << 20);

/** Bytes of every temper: noise, runs, text, and mixtures of them. */
const bytes = fc
  .array(
    fc.oneof(
      fc.record({ noise: fc.nat(40_000) }),
      fc.record({ run: fc.nat(60_000), value: fc.nat(255) }),
      fc.record({ text: fc.nat(60_000), from: fc.nat(900_000) }),
    ),
    { maxLength: 6 },
  )
  .map((parts) =>
    Buffer.concat(
      parts.map((part) => {
        if ('noise' in part) return randomBytes(part.noise);
        if ('run' in part) return Buffer.alloc(part.run, part.value);
        return TEXT.subarray(part.from, part.from + part.text);
      }),
    ),
  );
const hint = fc.constantFrom('float' as const, 'data' as const);

function decode(stored: Uint8Array, length: number): Uint8Array {
  const target = new Uint8Array(length);
  decoder.decodeInto(Encoding.zstd, stored, target);
  return target;
}

/** A view that starts at an odd place of a larger buffer, as on a worker's own memory. */
function inside(memory: Uint8Array, data: Uint8Array): Uint8Array {
  memory.set(data, 7);
  return memory.subarray(7, 7 + data.byteLength);
}

describe('Encoder', () => {
  for (const compression of ['fast', 'max'] as const) {
    it(`${compression}: what is encoded decodes to the same bytes and never takes more than 97 %`, () => {
      const encoder = new Encoder(compression);
      fc.assert(
        fc.property(bytes, hint, (data, hint) => {
          encoder.startRun();
          const stored = encoder.encode(data, hint);
          if (stored === null) return;
          expect(stored.byteLength).toBeLessThanOrEqual(0.97 * data.byteLength);
          expect(Buffer.compare(decode(stored, data.byteLength), data)).toBe(0);
        }),
        { numRuns: compression === 'fast' ? 150 : 20 },
      );
    });
  }

  it('"none" stores everything raw', () => {
    expect(new Encoder('none').encode(TEXT, 'data')).toBeNull();
  });

  it('compresses text, and leaves noise and small things raw', () => {
    const encoder = new Encoder('fast');
    expect(encoder.encode(TEXT, 'data')!.byteLength).toBeLessThan(0.3 * TEXT.byteLength);
    expect(encoder.encode(randomBytes(1 << 20), 'data')).toBeNull();
    expect(encoder.encode(randomBytes(100), 'data')).toBeNull();
    expect(encoder.encode(new Uint8Array(0), 'data')).toBeNull();
  });

  it('"max" comes out smaller than "fast"', () => {
    const data = TEXT.subarray(0, 300_000);
    const fast = new Encoder('fast').encode(data, 'data')!.byteLength;
    expect(new Encoder('max').encode(data, 'data')!.byteLength).toBeLessThan(0.95 * fast);
  });

  it('leaves the noise of trained weights to dtype planes, but compresses constant ones', () => {
    const weights = gaussianBf16(1 << 19);
    expect(new Encoder('fast').encode(weights, 'float')).toBeNull();
    expect(new Encoder('fast').encode(weights, 'data')!.byteLength).toBeLessThan(0.85 * weights.byteLength);
    expect(new Encoder('fast').encode(new Uint8Array(1 << 20), 'float')!.byteLength).toBeLessThan(1000);
  });

  it('a long run of noise costs few samples, and what compresses again is found within eight objects', () => {
    const encoder = new Encoder('fast');
    const noise = randomBytes(1 << 17);
    const samples = vi.spyOn(loadZstd().CCtx.prototype, 'compress2');
    try {
      for (let i = 0; i < 80; i++) expect(encoder.encode(noise, 'data')).toBeNull();
      expect(samples.mock.calls.length).toBe(8 + 9);
    } finally {
      samples.mockRestore();
    }
    const text = TEXT.subarray(0, 1 << 17);
    const results = Array.from({ length: 9 }, () => encoder.encode(text, 'data') !== null);
    expect(results.indexOf(true)).toBeLessThan(8);
    expect(results.slice(results.indexOf(true))).not.toContain(false);
  });

  it('forgets a run of noise at the start of a new one, and keeps the hints apart', () => {
    const encoder = new Encoder('fast');
    for (let i = 0; i < 10; i++) encoder.encode(randomBytes(1 << 15), 'float');
    expect(encoder.encode(TEXT.subarray(0, 1 << 15), 'data')).not.toBeNull();
    expect(encoder.encode(TEXT.subarray(0, 1 << 15), 'float')).toBeNull();
    encoder.startRun();
    expect(encoder.encode(TEXT.subarray(0, 1 << 15), 'float')).not.toBeNull();
  });

  it('takes and fills views on WebAssembly and shared memory', () => {
    const memories = [pageMemory(1 << 21), new Uint8Array(new SharedArrayBuffer(1 << 21))];
    for (const memory of memories) {
      const stored = Uint8Array.from(new Encoder('fast').encode(inside(memory, TEXT), 'data')!);
      memory.fill(0);
      const target = memory.subarray(64, 64 + TEXT.byteLength);
      decoder.decodeInto(Encoding.zstd, inside(new Uint8Array(new SharedArrayBuffer(1 << 20)), stored), target);
      expect(Buffer.compare(target, TEXT)).toBe(0);
    }
  });

  it('keeps nothing that does not read back: a compressor bug loses no data', () => {
    const original = loadZstd().CCtx.prototype.compress2;
    const spy = vi.spyOn(loadZstd().CCtx.prototype, 'compress2').mockImplementation(function (this: typeof original, target, source) {
      const length = original.call(this as never, target, source);
      target[length - 1]! ^= 0x10;
      return length;
    });
    try {
      expect(new Encoder('fast').encode(TEXT.subarray(0, 50_000), 'data')).toBeNull();
    } finally {
      spy.mockRestore();
    }
  });
});

describe('Decoder', () => {
  it('raw bytes come back as they are, and only at their own length', () => {
    const target = new Uint8Array(4);
    decoder.decodeInto(Encoding.raw, Uint8Array.of(1, 2, 3, 4), target);
    expect([...target]).toEqual([1, 2, 3, 4]);
    expect(() => decoder.decodeInto(Encoding.raw, Uint8Array.of(1, 2, 3), target)).toThrow(MalformedError);
  });

  it.each([2, 3, 4, 255])('encoding %i belongs to a newer version', (encoding) => {
    expect(() => decoder.decodeInto(encoding, new Uint8Array(8), new Uint8Array(8))).toThrow(StoreFormatError);
  });

  it('damaged frames give exactly the declared length or a MalformedError, and touch nothing beyond the target', () => {
    const encoder = new Encoder('fast');
    const edit = fc.record({ at: fc.nat(), value: fc.nat(255), cut: fc.boolean() });
    fc.assert(
      fc.property(bytes, fc.array(edit, { minLength: 1, maxLength: 4 }), (data, edits) => {
        encoder.startRun();
        const frame = encoder.encode(data, 'data');
        fc.pre(frame !== null);
        let stored = Uint8Array.from(frame);
        for (const { at, value, cut } of edits) {
          if (stored.byteLength === 0) break;
          if (cut) stored = stored.subarray(0, at % stored.byteLength);
          else stored[at % stored.byteLength] = value;
        }
        decodesOrIsMalformed(stored, data.byteLength);
      }),
      { numRuns: 400 },
    );
  });

  it('arbitrary bytes are never more than a MalformedError', () => {
    const magic = Buffer.from('28b52ffd', 'hex');
    const start = fc.constantFrom(Buffer.alloc(0), magic, Buffer.from('502a4d18', 'hex'));
    fc.assert(
      fc.property(start, fc.uint8Array({ maxLength: 200 }), fc.nat(5000), (start, rest, length) => {
        decodesOrIsMalformed(Buffer.concat([start, rest]), length);
      }),
      { numRuns: 2000 },
    );
  });

  it('a bomb is refused by its declared length, before anything is decompressed', () => {
    const bomb = new Encoder('fast').encode(new Uint8Array(16 << 20), 'data')!;
    expect(bomb.byteLength).toBeLessThan(4096);
    expect(() => decode(bomb, 1 << 20)).toThrow('declares another length');
  });

  it('refuses a frame without a declared length, with bytes after it, or two of them', () => {
    const { CCtx, CParameter, compressBound } = loadZstd();
    const source = Buffer.alloc(1000, 'abc');
    const context = new CCtx();
    const target = Buffer.alloc(compressBound(source.byteLength));
    const whole = Buffer.from(target.subarray(0, context.compress2(target, source)));
    expect(() => decode(Buffer.concat([whole, Buffer.alloc(1)]), 1000)).toThrow(MalformedError);
    expect(() => decode(Buffer.concat([whole, whole]), 2000)).toThrow(MalformedError);
    context.setParameter(CParameter.contentSizeFlag, 0);
    const unsized = target.subarray(0, context.compress2(target, source));
    expect(() => decode(unsized, 1000)).toThrow(MalformedError);
  });
});

function decodesOrIsMalformed(stored: Uint8Array, length: number): void {
  const memory = new Uint8Array(length + 128).fill(0xa5);
  try {
    decoder.decodeInto(Encoding.zstd, stored, memory.subarray(64, 64 + length));
  } catch (error) {
    expect(error).toBeInstanceOf(MalformedError);
  }
  expect(memory.subarray(0, 64).every((byte) => byte === 0xa5)).toBe(true);
  expect(memory.subarray(64 + length).every((byte) => byte === 0xa5)).toBe(true);
}

function gaussianBf16(count: number): Uint8Array {
  const floats = new Float32Array(1);
  const view = new Uint8Array(floats.buffer);
  const out = new Uint8Array(2 * count);
  for (let i = 0; i < count; i++) {
    floats[0] = 0.02 * Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
    out[2 * i] = view[2]!;
    out[2 * i + 1] = view[3]!;
  }
  return out;
}
