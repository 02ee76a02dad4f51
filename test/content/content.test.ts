import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { buildContent } from '../../packages/core/src/content/build.js';
import { contentEquals, contentId, EMPTY_CONTENT, type ChunkRef, type ContentRef } from '../../packages/core/src/content/content.js';
import { contentReferences } from '../../packages/core/src/content/node.js';
import { chunksOf } from '../../packages/core/src/content/read.js';
import { spliceContent } from '../../packages/core/src/content/splice.js';
import { asDigest, digestToHex } from '../../packages/core/src/hash/digest.js';
import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { MemoryNodes } from '../support/memory-nodes.js';

/** A chunk whose digest is as random as a real one, drawn from its number. */
function chunk(id: number, length = 1 + (id % 7)): ChunkRef {
  const digest = new Uint8Array(32);
  const words = new Uint32Array(digest.buffer);
  for (let i = 0; i < words.length; i++) {
    let word = Math.imul(id, 8) + i;
    word = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
    word = Math.imul(word ^ (word >>> 13), 0xc2b2ae35);
    words[i] = word ^ (word >>> 16);
  }
  return { digest: asDigest(digest), length };
}

/** A chunk whose digest never ends a node: the worst that chosen content can do. */
function endlessChunk(id: number): ChunkRef {
  const { digest } = chunk(id);
  digest[31] = (digest[31] as number) | 1;
  return { digest, length: 1 };
}

function list(count: number, first = 0): ChunkRef[] {
  return Array.from({ length: count }, (_, i) => chunk(first + i));
}

function read(nodes: MemoryNodes, ref: ContentRef, start?: number, end?: number): string[] {
  return [...chunksOf(nodes, ref, start, end)].map((c) => `${c.offset}+${c.length} ${digestToHex(c.digest)}`);
}

function expected(chunks: ChunkRef[], start = 0, end = Infinity): string[] {
  let offset = 0;
  return chunks.flatMap(({ digest, length }) => {
    const at = offset;
    offset += length;
    return length > 0 && at < end && offset > start ? [`${at}+${length} ${digestToHex(digest)}`] : [];
  });
}

/** Lists that have what makes trees differ: runs, patterns, many chunks, node ends at every place. */
const chunkLists = fc
  .array(
    fc.oneof(
      fc.record({ id: fc.nat(1000), repeats: fc.constant(1) }),
      fc.record({ id: fc.nat(3), repeats: fc.integer({ min: 1, max: 3000 }) }),
      fc.record({ id: fc.nat(1e6), repeats: fc.constant(-200) }),
    ),
    { maxLength: 30 },
  )
  .map((parts) =>
    parts.flatMap(({ id, repeats }) => (repeats < 0 ? list(-repeats, id) : Array.from({ length: repeats }, () => chunk(id)))),
  );

describe('a content tree', () => {
  test('holds its chunks in order, and gives those of any range', () => {
    fc.assert(
      fc.property(chunkLists, fc.double({ min: 0, max: 1, noNaN: true }), fc.double({ min: 0, max: 1, noNaN: true }), (chunks, a, b) => {
        const nodes = new MemoryNodes();
        const ref = buildContent(nodes, chunks);
        expect(ref.length).toBe(chunks.reduce((sum, c) => sum + c.length, 0));
        expect(read(nodes, ref)).toEqual(expected(chunks));
        const start = Math.floor(a * ref.length);
        const end = start + Math.ceil(b * (ref.length - start));
        expect(read(nodes, ref, start, end)).toEqual(start === end ? [] : expected(chunks, start, end));
      }),
      { numRuns: 60 },
    );
  });

  test('has no node for nothing or one chunk, and has one from two chunks on', () => {
    const nodes = new MemoryNodes();
    expect(buildContent(nodes, [])).toEqual(EMPTY_CONTENT);
    expect(buildContent(nodes, [chunk(1, 0)])).toEqual(EMPTY_CONTENT);
    expect(buildContent(nodes, [chunk(5, 9)])).toEqual({ height: 0, root: chunk(5).digest, length: 9 });
    expect(nodes.objects.size).toBe(0);
    expect(buildContent(nodes, [chunk(5, 9), chunk(5, 9)])).toMatchObject({ height: 1, length: 18 });
    expect(nodes.objects.size).toBe(1);
  });

  test.each([1, 2, 63, 64, 65, 191, 192, 1023, 1024, 1025, 40_000])('of %i chunks has nodes of 64 to 1024 entries', (count) => {
    for (const make of [chunk, endlessChunk]) {
      const nodes = new MemoryNodes();
      const chunks = Array.from({ length: count }, (_, i) => make(i));
      const ref = buildContent(nodes, chunks);
      expect(read(nodes, ref)).toEqual(expected(chunks));
      expect(ref.height).toBeLessThanOrEqual(Math.ceil(Math.log(count) / Math.log(64)));
      for (const bytes of nodes.objects.values()) expect(contentReferences(bytes).length).toBeLessThanOrEqual(1024);
      expect(nodes.objects.size).toBeLessThanOrEqual(Math.ceil(count / 60) + 4);
    }
  });

  test('of a file of zeros is one node, however long the file', () => {
    const nodes = new MemoryNodes();
    const zero = chunk(7, 1 << 20);
    const ref = buildContent(nodes, repeat(zero, 1_000_000));
    expect(nodes.objects.size).toBe(1);
    const { result, read: nodesRead, written } = nodes.count(() => spliceContent(nodes, nodes, ref, 5 << 20, 6 << 20, [chunk(8, 3)]));
    expect([nodesRead, written]).toEqual([1, 1]);
    expect(result.length).toBe(ref.length - (1 << 20) + 3);
    expect([...chunksOf(nodes, result, 5 << 20, (5 << 20) + 4)].map((c) => c.length)).toEqual([3, 1 << 20]);
  });

  test('has an id that names chunking version, height, root and length', () => {
    expect(contentId(EMPTY_CONTENT)).toBe('1.0.af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262.0');
    expect(contentId({ height: 2, root: chunk(1).digest, length: 77 })).toMatch(/^1\.2\.[0-9a-f]{64}\.77$/);
    expect(contentEquals(EMPTY_CONTENT, { ...EMPTY_CONTENT })).toBe(true);
    expect(contentEquals(EMPTY_CONTENT, { ...EMPTY_CONTENT, length: 1 })).toBe(false);
  });
});

describe('a splice', () => {
  test('gives the content that a build of the spliced list gives', () => {
    const edits = fc.array(fc.record({ at: fc.nat(), remove: fc.oneof(fc.nat(3), fc.nat(5000)), insert: chunkLists }), {
      minLength: 1,
      maxLength: 4,
    });
    fc.assert(
      fc.property(chunkLists, edits, (chunks, changes) => {
        const nodes = new MemoryNodes();
        let ref = buildContent(nodes, chunks);
        for (const { at, remove, insert } of changes) {
          const first = at % (chunks.length + 1);
          const last = Math.min(chunks.length, first + remove);
          const start = bytesOf(chunks.slice(0, first));
          ref = spliceContent(nodes, nodes, ref, start, start + bytesOf(chunks.slice(first, last)), insert);
          chunks = [...chunks.slice(0, first), ...insert, ...chunks.slice(last)];
          expect(ref).toEqual(buildContent(new MemoryNodes(), chunks));
        }
      }),
      { numRuns: 50 },
    );
  });

  test('that adds parts before, behind or nowhere keeps the nodes that end there', () => {
    const nodes = new MemoryNodes();
    for (const count of [1, 2, 100, 1000, 40_000]) {
      const chunks = list(count);
      const ref = buildContent(nodes, chunks);
      const middle = bytesOf(chunks.slice(0, count >> 1));
      for (const at of [0, middle, ref.length]) expect(spliceContent(nodes, nodes, ref, at, at, [])).toEqual(ref);
      for (let added = 1; added < 300; added += count >= 1000 ? 30 : 1) {
        const more = list(added, 1_000_000);
        expect(spliceContent(nodes, nodes, ref, 0, 0, more)).toEqual(buildContent(nodes, [...more, ...chunks]));
        expect(spliceContent(nodes, nodes, ref, ref.length, ref.length, more)).toEqual(buildContent(nodes, [...chunks, ...more]));
      }
    }
  });

  test('that removes all but one part leaves no chain of nodes above it', () => {
    const nodes = new MemoryNodes();
    const chunks = list(50_000);
    const ref = buildContent(nodes, chunks);
    for (const kept of [0, 1, 2, 100, 5000]) {
      const left = chunks.slice(0, kept);
      const right = chunks.slice(chunks.length - kept);
      expect(spliceContent(nodes, nodes, ref, bytesOf(left), ref.length, [])).toEqual(buildContent(nodes, left));
      expect(spliceContent(nodes, nodes, ref, 0, ref.length - bytesOf(right), [])).toEqual(buildContent(nodes, right));
    }
  });

  test('rewrites O(log n) nodes of a long file: insert, append, overwrite and removal', () => {
    const nodes = new MemoryNodes();
    const chunks = list(400_000);
    const ref = buildContent(nodes, chunks);
    expect(ref.height).toBe(3);
    for (const index of [0, 1, 100, 222_222, 399_998, 400_000]) {
      const start = bytesOf(chunks.slice(0, index));
      for (const removed of [0, 1, 2]) {
        const end = start + bytesOf(chunks.slice(index, index + removed));
        for (const inserted of [[], [chunk(-1), chunk(-2)]]) {
          const { read: nodesRead, written } = nodes.count(() => spliceContent(nodes, nodes, ref, start, end, inserted));
          expect(nodesRead).toBeLessThanOrEqual(6 * ref.height);
          expect(written).toBeLessThanOrEqual(5 * ref.height);
        }
      }
    }
    expect(nodes.count(() => [...chunksOf(nodes, ref, 1_000_000, 1_000_010)]).read).toBeLessThanOrEqual(ref.height + 1);
  });

  test('of content without node ends, made to be costly, touches its 1024th part at most', () => {
    const nodes = new MemoryNodes();
    const chunks = Array.from({ length: 100_000 }, (_, i) => endlessChunk(i));
    const ref = buildContent(nodes, chunks);
    const { result, written } = nodes.count(() => spliceContent(nodes, nodes, ref, 5, 5, [chunk(-1)]));
    expect(result).toEqual(buildContent(new MemoryNodes(), [...chunks.slice(0, 5), chunk(-1), ...chunks.slice(5)]));
    expect(written).toBeLessThanOrEqual(100_000 / 1024 + 4);
  });

  test('refuses ends that are no chunk boundaries, or lie outside', () => {
    const nodes = new MemoryNodes();
    const single = buildContent(nodes, [chunk(1, 10)]);
    const run = buildContent(nodes, [chunk(1, 10), chunk(1, 10), chunk(2, 5)]);
    for (const [ref, start, end] of [
      [single, 1, 10],
      [single, 0, 9],
      [run, 5, 10],
      [run, 0, 15],
      [run, 10, 22],
      [run, 10, 26],
      [run, -1, 0],
      [run, 20, 10],
      [run, NaN, 10],
    ] as const) {
      expect(() => spliceContent(nodes, nodes, ref, start, end, [])).toThrow(RangeError);
    }
  });
});

test('references of a node are all that its content needs', () => {
  const nodes = new MemoryNodes();
  const chunks = list(3000);
  buildContent(nodes, chunks);
  const kinds = new Map<ObjectKind, Set<string>>();
  for (const bytes of nodes.objects.values()) {
    for (const { kind, digest } of contentReferences(bytes)) kinds.set(kind, (kinds.get(kind) ?? new Set()).add(digestToHex(digest)));
  }
  expect(kinds.get(ObjectKind.chunk)).toEqual(new Set(chunks.map((c) => digestToHex(c.digest))));
  expect(kinds.get(ObjectKind.contentNode)?.size).toBe(nodes.objects.size - 1);
});

function bytesOf(chunks: ChunkRef[]): number {
  return chunks.reduce((sum, c) => sum + c.length, 0);
}

function* repeat<T>(value: T, count: number): Generator<T> {
  for (let i = 0; i < count; i++) yield value;
}
