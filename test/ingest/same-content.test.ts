import { describe, expect, it } from 'vitest';
import { contentId } from '../../packages/core/dist/content/content.js';
import { leftovers, oracle, openEngine, randomBytes, readBack, safetensors, sharedEngine, sourcesOf, storeAll } from './support.js';

const MIB = 1 << 20;

const FILES: Record<string, Uint8Array> = {
  ...Object.fromEntries(
    [0, 1, 8191, 8192, 8193, 131_071, 131_072, 131_073, MIB - 1, MIB, MIB + 1, 3 * MIB + 17].map((size) => [
      `generic-${size}`,
      randomBytes(size, size),
    ]),
  ),
  zeros: new Uint8Array(5 * MIB + 3),
  text: Buffer.from('the same line again, and again\n'.repeat(100_000)),
  'tensors-small': safetensors([4, 1000, 8192], 1),
  'tensors-blocks': safetensors([MIB, MIB - 4, 3, 2 * MIB + 4, 1], 2, 100_000),
  'tensors-cut-off': safetensors([4 * MIB], 3).subarray(0, 2 * MIB + 500_001),
  'header-only-claims': Buffer.concat([Buffer.from([255, 255, 0, 0, 0, 0, 0, 0]), Buffer.from('{"a'), randomBytes(300_000, 4)]),
};

/** A run of bytes that has a trigger in every period: the rule's own test vector for the minimum size. */
const DENSE = Buffer.from(
  '9a342a229f4b7ee046ec0cc44fecb27c7f3263b22cb0ae7efaebcdaefc7a230a1465d645c10873699ee4786f88a2c6fbd3b7fdfca4933f10baa27517aa24cdbb' +
    'ae4cd2aed3af0cad913b0246deb59fe3b69cbd33e26a1832b79d8c0a0817d4460aea1721dbfe27ec4631bf7409730f651a9fa5dc0faa387d5ca35eeb26283151',
  'hex',
);

/** Larger than a unit may be when there are few of them, so that all workers share each. */
const LARGE: Record<string, Uint8Array> = {
  'large-generic': randomBytes(41 * MIB + 12_345, 5),
  'large-zeros': new Uint8Array(33 * MIB + 1),
  // So many triggers that no task can return those of its whole segment.
  'large-dense': Buffer.alloc(40 * MIB, DENSE),
  'large-tensors': safetensors([20 * MIB, 4, 13 * MIB + 4, 9 * MIB], 6, 12 * MIB + 7),
};

describe.each([1, 2])('with %i workers', (workers) => {
  it('files have the content that the oracle gives their bytes, and are read back whole', async () => {
    const engine = await openEngine({ workers });
    const sources = sourcesOf(FILES);
    const contents = await storeAll(engine, sources);
    for (const [i, bytes] of Object.values(FILES).entries()) {
      const content = contents.get(sources[i]!.path)!;
      expect(contentId(content), Object.keys(FILES)[i]).toBe(contentId(oracle(bytes)));
      expect(Buffer.compare(await readBack(engine, content), bytes)).toBe(0);
    }
  });

  it('a large file that is cut by several workers has the content of a serial run', async () => {
    const engine = await openEngine({ workers });
    for (const [name, bytes] of Object.entries(LARGE)) {
      const sources = sourcesOf({ [name]: bytes });
      const content = (await storeAll(engine, sources)).get(sources[0]!.path)!;
      expect(contentId(content), name).toBe(contentId(oracle(bytes)));
      expect(Buffer.compare(await readBack(engine, content), bytes)).toBe(0);
    }
  });
});

describe('a stream', () => {
  const engineOf = sharedEngine();

  async function* inPieces(bytes: Uint8Array, sizes: number[]): AsyncGenerator<Uint8Array> {
    // One piece of memory for all: a consumer must not keep what it was given.
    const memory = new Uint8Array(Math.max(...sizes));
    for (let at = 0, i = 0; at < bytes.byteLength; i++) {
      const part = bytes.subarray(at, at + sizes[i % sizes.length]!);
      memory.set(part);
      yield memory.subarray(0, part.byteLength);
      at += part.byteLength;
      if (i % 64 === 0) await new Promise(setImmediate);
    }
  }

  it.each([
    ['pieces of a pipe', [65_536]],
    ['pieces of odd sizes', [1, 7, 100_003, 0, 3]],
    ['one piece', [64 * MIB]],
  ])('has the content that a file of its bytes has, fed in %s', async (_what, sizes) => {
    const engine = engineOf();
    for (const [name, bytes] of Object.entries(FILES)) {
      const content = await engine.ingest.stream(inPieces(bytes, sizes), { sink: engine.staging });
      expect(contentId(content), name).toBe(contentId(oracle(bytes)));
    }
  });

  it('longer than the ring has the content of a file, and sees the tensors in it', async () => {
    const engine = engineOf();
    const bytes = LARGE['large-tensors']!;
    const content = await engine.ingest.stream(inPieces(bytes, [1_000_000]), { sink: engine.staging });
    expect(contentId(content)).toBe(contentId(oracle(bytes)));
    expect(Buffer.compare(await readBack(engine, content), bytes)).toBe(0);
  });

  it('that reads from the store itself does not wait for ever on a pool of one worker', async () => {
    const engine = await openEngine({ workers: 1 });
    const bytes = randomBytes(24 * MIB, 7);
    const sources = sourcesOf({ file: bytes });
    const content = (await storeAll(engine, sources)).get(sources[0]!.path)!;
    const copy = await engine.ingest.stream(engine.data.stream(content, 0, content.length, { nodes: engine.staging }), {
      sink: engine.staging,
    });
    expect(contentId(copy)).toBe(contentId(content));
  });

  it('that fails leaves nothing and fails the call', async () => {
    const engine = engineOf();
    async function* failing(): AsyncGenerator<Uint8Array> {
      for (let i = 0; i < 40; i++) yield randomBytes(256 << 10, i);
      await new Promise(setImmediate);
      throw new Error('the network is gone');
    }
    const before = [...engine.index.packs()].length;
    await expect(engine.ingest.stream(failing(), { sink: engine.staging })).rejects.toThrow('the network is gone');
    expect([...engine.index.packs()]).toHaveLength(before);
    expect(leftovers(engine)).toEqual([]);
  });

  it('that never ends can be called off', async () => {
    const engine = engineOf();
    const controller = new AbortController();
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield randomBytes(6 * MIB, 1);
      setTimeout(() => controller.abort(new Error('enough')), 20);
      await new Promise(() => undefined);
    }
    await expect(engine.ingest.stream(endless(), { sink: engine.staging, signal: controller.signal })).rejects.toThrow('enough');
  });
});
