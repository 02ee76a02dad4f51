import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { isCairnError } from '../../packages/core/src/errors.js';
import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { digestToHex } from '../../packages/core/src/hash/digest.js';

const vectors = JSON.parse(readFileSync(new URL('../vectors/blake3.json', import.meta.url), 'utf8')) as {
  cases: { length: number; hash: string }[];
};
const pattern = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => i % 251);

const environment = process.env['CAIRN_HASH'];
afterEach(() => {
  if (environment === undefined) delete process.env['CAIRN_HASH'];
  else process.env['CAIRN_HASH'] = environment;
});

describe.each(['native', 'portable'] as const)('the %s hasher', (implementation) => {
  const hasher = createHasher(implementation);

  it('says what it is', () => expect(hasher.implementation).toBe(implementation));

  it.each(vectors.cases)('gives the published digest of $length bytes', ({ length, hash }) => {
    expect(digestToHex(hasher.digest(pattern(length)))).toBe(hash);
  });

  it('gives the same digest for memory of every kind, at every offset', () => {
    const expected = digestToHex(hasher.digest(pattern(5000)));
    const memory = new (
      globalThis as unknown as { WebAssembly: { Memory: new (o: object) => { buffer: ArrayBuffer } } }
    ).WebAssembly.Memory({
      initial: 1,
      maximum: 1,
    });
    for (const buffer of [new ArrayBuffer(6000), new SharedArrayBuffer(6000), memory.buffer, Buffer.alloc(6000).buffer]) {
      for (const offset of [0, 1, 7, 512]) {
        const view = new Uint8Array(buffer as ArrayBuffer, offset, 5000);
        view.set(pattern(5000));
        expect(digestToHex(hasher.digest(view))).toBe(expected);
        expect(digestToHex(hasher.digest(Buffer.from(buffer as ArrayBuffer, offset, 5000)))).toBe(expected);
      }
    }
  });

  it('gives each digest memory of its own', () => {
    const a = hasher.digest(pattern(1));
    const kept = digestToHex(a);
    hasher.digest(pattern(2));
    expect(digestToHex(a)).toBe(kept);
    expect(a.buffer.byteLength).toBe(32);
  });

  it('writes only the 32 bytes of the target that it is told to', () => {
    const target = new Uint8Array(100).fill(0xee);
    hasher.digestInto(pattern(77), target, 40);
    expect(target.subarray(40, 72)).toEqual(hasher.digest(pattern(77)));
    expect([...target.subarray(0, 40), ...target.subarray(72)].every((byte) => byte === 0xee)).toBe(true);
    expect(() => hasher.digestInto(pattern(77), target, 69)).toThrow(RangeError);
  });

  it('holds on to no memory over 100 000 digests in one turn', { timeout: 60_000 }, () => {
    const bytes = pattern(64);
    const target = new Uint8Array(32);
    const run = (count: number): void => {
      for (let i = 0; i < count; i++) hasher.digestInto(bytes, target, 0);
    };
    run(10_000);
    const before = process.memoryUsage();
    run(100_000);
    const after = process.memoryUsage();
    // 100 bytes a digest would show as 10 MB.
    expect(after.external - before.external).toBeLessThan(2e6);
    expect(after.rss - before.rss).toBeLessThan(20e6);
  });
});

describe('both hashers', () => {
  it('agree on any bytes', () => {
    const [native, portable] = [createHasher('native'), createHasher('portable')];
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70_000, size: 'max' }), (bytes) => {
        expect(native.digest(bytes)).toEqual(portable.digest(bytes));
      }),
      { numRuns: 60 },
    );
  });

  it('agree on inputs which the portable one takes in pieces', () => {
    for (const length of [(1 << 20) - 1, 1 << 20, (1 << 20) + 1, (5 << 19) + 3]) {
      expect(createHasher('native').digest(pattern(length))).toEqual(createHasher('portable').digest(pattern(length)));
    }
  });
});

describe('the choice of hasher', () => {
  it('follows CAIRN_HASH only where the caller leaves it open', () => {
    process.env['CAIRN_HASH'] = 'portable';
    expect(createHasher().implementation).toBe('portable');
    expect(createHasher('auto').implementation).toBe('portable');
    expect(createHasher('native').implementation).toBe('native');
    process.env['CAIRN_HASH'] = 'native';
    expect(createHasher('auto').implementation).toBe('native');
    process.env['CAIRN_HASH'] = '';
    expect(['native', 'portable']).toContain(createHasher('auto').implementation);
  });

  it('refuses names it does not know with a typed error', () => {
    const refused = (make: () => unknown): boolean => {
      try {
        make();
        return false;
      } catch (error) {
        return isCairnError(error, 'CAIRN_INVALID_ARGUMENT');
      }
    };
    expect(refused(() => createHasher('fast' as 'auto'))).toBe(true);
    process.env['CAIRN_HASH'] = 'md5';
    expect(refused(() => createHasher())).toBe(true);
  });
});
