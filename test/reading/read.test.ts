import { closeSync, openSync, readFileSync, readSync, renameSync, writeSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { buildContent, chunksOf, type ContentRef } from '../../packages/core/dist/content/content.js';
import type { DamageError } from '../../packages/core/dist/errors.js';
import { digestToHex } from '../../packages/core/dist/hash/digest.js';
import { ObjectKind } from '../../packages/core/dist/hash/object-kind.js';
import { openEngine, randomBytes, safetensors, sharedEngine, sourcesOf, storeAll, type TestEngine } from '../ingest/support.js';

const MIB = 1 << 20;
const BYTES: Record<string, Uint8Array> = {
  generic: randomBytes(5 * MIB + 77, 1),
  tensors: safetensors([3 * MIB, 1000, 2 * MIB + 4], 2, 9000),
  compressible: Buffer.from('{"key": "value", "n": 12345}\n'.repeat(150_000)),
  zeros: new Uint8Array(3 * MIB),
  tiny: randomBytes(3, 4),
  empty: new Uint8Array(0),
};
const NAMES = Object.keys(BYTES);

async function stored(engine: TestEngine): Promise<Record<string, ContentRef>> {
  const sources = sourcesOf(BYTES);
  const contents = await storeAll(engine, sources);
  // What others have published, worker threads among them, is seen from the next look on.
  engine.index.refresh();
  return Object.fromEntries(NAMES.map((name, i) => [name, contents.get(sources[i]!.path)!]));
}

function memory(length: number, shared: boolean): Uint8Array {
  return (shared ? new Uint8Array(new SharedArrayBuffer(length)) : new Uint8Array(length)).fill(0xee);
}

describe('reading', () => {
  const engineOf = sharedEngine();
  it('gives the bytes of every range, small or large, verified or not, into memory of either kind', async () => {
    const engine = engineOf();
    const contents = await stored(engine);
    const request = fc.record({
      name: fc.constantFrom(...NAMES),
      start: fc.double({ min: 0, max: 1.1, noNaN: true }),
      length: fc.oneof(fc.nat(70_000), fc.nat(4 * MIB)),
      shared: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(request, { maxLength: 4 }), fc.boolean(), async (wanted, verify) => {
        const requests = wanted.map(({ name, start, length, shared }) => {
          const position = Math.floor(start * BYTES[name]!.byteLength);
          return { name, content: contents[name]!, position, target: memory(length, shared) };
        });
        const count = await engine.data.readInto(requests, { nodes: engine.staging, verify });
        let expected = 0;
        for (const { name, position, target } of requests) {
          const bytes = BYTES[name]!.subarray(position, position + target.byteLength);
          expected += bytes.byteLength;
          expect(Buffer.compare(target.subarray(0, bytes.byteLength), bytes)).toBe(0);
          // Beyond the end nothing is touched.
          expect(target.subarray(bytes.byteLength).every((byte) => byte === 0xee)).toBe(true);
        }
        expect(count).toBe(expected);
      }),
      { numRuns: 60 },
    );
  });

  it('streams any range, in pieces that the consumer may keep', async () => {
    const engine = engineOf();
    const contents = await stored(engine);
    for (const [name, start, end] of [
      ['generic', 0, BYTES['generic']!.byteLength],
      ['tensors', 1_234_567, 4_000_001],
      ['compressible', 17, 18],
      ['empty', 0, 0],
    ] as const) {
      const pieces: Uint8Array[] = [];
      for await (const piece of engine.data.stream(contents[name]!, start, end, { nodes: engine.staging })) pieces.push(piece);
      expect(Buffer.compare(Buffer.concat(pieces), BYTES[name]!.subarray(start, end))).toBe(0);
    }
    for await (const piece of engine.data.stream(contents['generic']!, 0, 5 * MIB, { nodes: engine.staging })) {
      expect(piece.byteLength).toBeLessThan(MIB);
      break;
    }
  });

  it('finds chunks that are only staged, beside those in packs', async () => {
    const engine = engineOf();
    const contents = await stored(engine);
    const fresh = randomBytes(2 * MIB, 9);
    const put = (bytes: Uint8Array) => ({ digest: engine.staging.put(ObjectKind.chunk, bytes), length: bytes.byteLength });
    const pieces = [fresh.subarray(0, MIB), fresh.subarray(MIB)].map((bytes) => put(bytes.slice()));
    const content = buildContent(engine.staging, [pieces[0]!, ...chunksOf(engine.staging, contents['generic']!), pieces[1]!]);
    const expected = Buffer.concat([fresh.subarray(0, MIB), BYTES['generic']!, fresh.subarray(MIB)]);
    for (const [shared, position] of [
      [true, 0],
      [false, 0],
      [false, expected.byteLength - 1000],
    ] as const) {
      const target = memory(expected.byteLength - position, shared);
      await engine.data.readInto([{ content, position, target }], { nodes: engine.staging });
      expect(Buffer.compare(target, expected.subarray(position))).toBe(0);
    }
  });

  it('stops with the reason of the abort', async () => {
    const engine = engineOf();
    const contents = await stored(engine);
    const controller = new AbortController();
    const requests = Array.from({ length: 20 }, () => ({ content: contents['generic']!, position: 0, target: memory(5 * MIB, true) }));
    const reading = engine.data.readInto(requests, {
      nodes: engine.staging,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error('enough')),
    });
    await expect(reading).rejects.toThrow('enough');
    await expect(engine.data.readInto(requests, { nodes: engine.staging, signal: controller.signal })).rejects.toThrow('enough');
  });
});

describe('damage', () => {
  const engineOf = sharedEngine();
  it('a flipped bit in a payload is never returned as data: the error names the chunk, however it is read', async () => {
    const engine = engineOf();
    const contents = await stored(engine);
    for (const name of ['generic', 'compressible', 'tensors', 'tiny']) {
      const content = contents[name]!;
      const chunks = [...chunksOf(engine.staging, content)];
      const victim = chunks[Math.floor(chunks.length / 2)]!;
      const location = engine.index.locate(ObjectKind.chunk, victim.digest)!;
      const undo = flipBit(engine.layout.packPath(location.pack), location.offset + Math.floor(location.storedLength / 2));
      const target = memory(content.length, true);
      const all = { content, position: 0, target };
      // One byte of the chunk, at its very start, which was not changed.
      const one = { content, position: victim.offset, target: memory(1, false) };
      for (const request of [all, { ...all, target: memory(content.length, false) }, one]) {
        const failure = (await engine.data.readInto([request], { nodes: engine.staging }).catch((error: unknown) => error)) as DamageError;
        expect(failure).toMatchObject({ code: 'CAIRN_DAMAGED' });
        expect(failure.damage).toEqual([{ kind: 'chunk', id: digestToHex(victim.digest), affects: [] }]);
      }
      const check = await engine.data.checkPack(location.pack);
      expect(check.damage).toEqual([{ kind: 'chunk', id: digestToHex(victim.digest), affects: [] }]);
      undo();
      expect((await engine.data.checkPack(location.pack)).damage).toEqual([]);
      expect(await engine.data.readInto([all], { nodes: engine.staging })).toBe(content.length);
    }
  });

  it('a pack that is gone, or cut short, is damage too', async () => {
    // Of its own: an engine that has read a pack keeps it open for a while.
    const engine = await openEngine();
    const contents = await stored(engine);
    const content = contents['generic']!;
    const [first] = chunksOf(engine.staging, content);
    const { pack } = engine.index.locate(ObjectKind.chunk, first!.digest)!;
    const path = engine.layout.packPath(pack);
    renameSync(path, `${path}.aside`);
    for (const length of [10, content.length]) {
      const request = { content, position: 0, target: memory(length, true) };
      await expect(engine.data.readInto([request], { nodes: engine.staging })).rejects.toMatchObject({ code: 'CAIRN_DAMAGED' });
    }
    expect((await engine.data.checkPack(pack)).damage).toEqual([{ kind: 'pack', id: pack, affects: [] }]);
    renameSync(`${path}.aside`, path);
    expect(await engine.data.checkPack(pack)).toMatchObject({ damage: [], objects: expect.any(Number) as number });
  });
});

/** Flips one bit of a file; returns how to undo that. */
function flipBit(path: string, position: number): () => void {
  const byte = new Uint8Array(1);
  const toggle = (): void => {
    const fd = openSync(path, 'r+');
    readSync(fd, byte, 0, 1, position);
    byte[0]! ^= 0x10;
    writeSync(fd, byte, 0, 1, position);
    closeSync(fd);
  };
  expect(readFileSync(path).byteLength).toBeGreaterThan(position);
  toggle();
  return toggle;
}
