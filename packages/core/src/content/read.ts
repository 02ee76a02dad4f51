import { DamageError } from '../errors.js';
import { digestToHex, type Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { NodeSource } from '../objects/node-store.js';
import { MAX_OBJECT_BYTES } from '../pack/footer.js';
import { MalformedError } from '../util/bytes.js';
import type { ContentRef } from './content-ref.js';
import { decodeContentNode, type ContentNode } from './node.js';

/** Decoded nodes, as long as their source keeps their bytes: a file that is read in many parts is asked for the same ones each time. */
const decoded = new WeakMap<Uint8Array, ContentNode>();

/**
 * Reads a node that must have this level and hold this many bytes, as whoever refers to it says.
 *
 * @throws DamageError when it is missing, malformed, or something else than was said
 */
export function readContentNode(source: NodeSource, digest: Digest, level: number, length: number): ContentNode {
  const bytes = source.get(ObjectKind.contentNode, digest);
  try {
    let node = decoded.get(bytes);
    if (node === undefined) decoded.set(bytes, (node = decodeContentNode(bytes)));
    if (node.level !== level) throw new MalformedError(`level ${node.level} where ${level} was to be`);
    if (node.length !== length) throw new MalformedError(`${node.length} bytes where ${length} were to be`);
    return node;
  } catch (error) {
    if (!(error instanceof MalformedError)) throw error;
    const id = digestToHex(digest);
    throw new DamageError(`content node ${id} is damaged: ${error.message}`, [{ kind: 'node', id, affects: [] }], error);
  }
}

/** The node of `level` that holds the byte at `offset`, and where the node starts in the file. */
export function contentNodeAt(source: NodeSource, ref: ContentRef, level: number, offset: number): { node: ContentNode; start: number } {
  let node = readContentNode(source, ref.root, ref.height, ref.length);
  let start = 0;
  while (node.level > level) {
    const index = node.indexAt(offset - start);
    const child = node.entry(index);
    start += node.start(index);
    node = readContentNode(source, child.digest, node.level - 1, child.length);
  }
  return { node, start };
}

/** A chunk at its place in a file; `offset` and `length` in bytes. */
export interface PlacedChunk {
  readonly digest: Digest;
  readonly length: number;
  readonly offset: number;
}

/**
 * The chunks that overlap the bytes [start, end), in order, whole: the first may begin before `start`.
 * Reads O(log n) nodes and those that hold the chunks asked for, as the iteration goes on.
 *
 * @throws DamageError when a node is missing or malformed, or a chunk larger than any
 */
export function* chunksOf(source: NodeSource, ref: ContentRef, start = 0, end = ref.length): Generator<PlacedChunk, void, undefined> {
  const from = Math.max(0, start);
  const to = Math.min(end, ref.length);
  if (from >= to) return;
  if (ref.height === 0) {
    assertChunkLength(ref.root, ref.length);
    yield { digest: ref.root, length: ref.length, offset: 0 };
    return;
  }
  yield* chunksBelow(source, readContentNode(source, ref.root, ref.height, ref.length), 0, from, to);
}

function* chunksBelow(
  source: NodeSource,
  node: ContentNode,
  base: number,
  from: number,
  to: number,
): Generator<PlacedChunk, void, undefined> {
  for (let i = node.indexAt(Math.max(0, from - base)); i < node.count; i++) {
    let offset = base + node.start(i);
    if (offset >= to) return;
    const { digest, length } = node.entry(i);
    if (node.level > 1) {
      yield* chunksBelow(source, readContentNode(source, digest, node.level - 1, length), offset, from, to);
      continue;
    }
    assertChunkLength(digest, length);
    const end = Math.min(to, base + node.start(i + 1));
    if (offset < from) offset += Math.floor((from - offset) / length) * length;
    for (; offset < end; offset += length) yield { digest, length, offset };
  }
}

/** Whoever reads a chunk makes room for it: no tree may ask for more than a chunk can have. */
function assertChunkLength(digest: Digest, length: number): void {
  if (length <= MAX_OBJECT_BYTES) return;
  const id = digestToHex(digest);
  throw new DamageError(`chunk ${id} is damaged: no chunk has ${length} bytes`, [{ kind: 'chunk', id, affects: [] }]);
}
