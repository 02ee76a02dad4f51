import type { NodeSink, NodeSource } from '../objects/node-store.js';
import { buildContent, chunkEntry, LevelBuilder, rootOf, TreeBuilder } from './build.js';
import { EMPTY_CONTENT, type ChunkRef, type ContentRef } from './content-ref.js';
import type { ContentEntry, ContentNode } from './node.js';
import { contentNodeAt, readContentNode } from './read.js';

const OFF_BOUNDARY = 'a splice must start and end on chunk boundaries';

/**
 * The content `ref` with the bytes [start, end) replaced by `chunks`. Both ends must be chunk boundaries
 * of `ref` (0 and its length are). The result equals `buildContent` of the spliced list of chunks. Reads
 * and writes O(log n + k) nodes; only a long stretch without a node end that the edit shifts (digests chosen
 * to that purpose, or a pattern of several chunks that repeats) costs its 1024th part.
 *
 * @throws DamageError when a node is missing or malformed
 */
export function spliceContent(
  source: NodeSource,
  sink: NodeSink,
  ref: ContentRef,
  start: number,
  end: number,
  chunks: Iterable<ChunkRef>,
): ContentRef {
  if (!(start >= 0 && start <= end && end <= ref.length)) throw new RangeError(`[${start}, ${end}) is no range of ${ref.length} bytes`);
  if (ref.height === 0) return buildContent(sink, splicedChunks(ref, start, end, chunks));

  let edit: LevelEdit = { start, end, entries: chunkEntries(chunks) };
  let below: ContentEntry[] = [];
  for (let level = 1; level <= ref.height; level++) {
    const nodes: ContentEntry[] = [];
    const builder = new LevelBuilder(level, sink, (node) => nodes.push(node));
    const { from, to } = replay(source, ref, edit, builder);
    if (from === 0 && to === ref.length) {
      if (builder.isEmpty) return EMPTY_CONTENT;
      const root = rootOf(builder);
      // A node written just now has several parts; one that was there before may be the end of a level, with one.
      if (root !== undefined) return below.length > 0 ? root : lowered(source, root);
    }
    builder.close();
    edit = { start: from, end: to, entries: nodes };
    below = nodes;
  }
  const tree = new TreeBuilder(sink, ref.height + 1);
  for (const node of below) tree.push(node);
  return tree.finish();
}

/** What happens to one level: its entries over the old bytes [start, end) give way to others. */
interface LevelEdit {
  start: number;
  end: number;
  entries: Iterable<ContentEntry>;
}

/**
 * Runs the edited level through `builder`, from the start of the node before the edit until a new node
 * starts where an old one did: from there on all nodes stay as they are. Returns the old bytes replayed.
 */
function replay(source: NodeSource, ref: ContentRef, edit: LevelEdit, builder: LevelBuilder): { from: number; to: number } {
  let from = 0;
  if (edit.start > 0) {
    // The byte before: a run may go on across the seam, and the last node of all is open to more.
    const left = contentNodeAt(source, ref, builder.level, edit.start - 1);
    from = left.start;
    pushEntries(builder, left.node, 0, edit.start - left.start);
  }
  for (const entry of edit.entries) builder.push(entry);
  let to = edit.end;
  while (to < ref.length) {
    const { node, start } = contentNodeAt(source, ref, builder.level, to);
    // The top node is replayed in any case: no level above would know it.
    if (start === to && builder.level < ref.height && builder.startsNodeWith(node.entry(0))) break;
    pushEntries(builder, node, to - start, node.length);
    to = start + node.length;
  }
  return { from, to };
}

/** Pushes the part [from, to) of a node, in bytes from its start. */
function pushEntries(builder: LevelBuilder, node: ContentNode, from: number, to: number): void {
  for (let i = node.indexAt(from); i < node.count && node.start(i) < to; i++) {
    const entry = node.entry(i);
    const bytes = Math.min(to, node.start(i + 1)) - Math.max(from, node.start(i));
    const repeats = bytes / entry.length;
    if (!Number.isInteger(repeats)) throw new RangeError(OFF_BOUNDARY);
    builder.push({ ...entry, repeats });
  }
}

/** The same content without the nodes at the top that have one part only. */
function lowered(source: NodeSource, ref: ContentRef): ContentRef {
  while (ref.height > 0) {
    const node = readContentNode(source, ref.root, ref.height, ref.length);
    const first = node.entry(0);
    if (node.count > 1 || first.repeats > 1) break;
    ref = { height: ref.height - 1, root: first.digest, length: first.length };
  }
  return ref;
}

/** For a content without nodes: all of what stays is its one chunk, before or behind the edit. */
function* splicedChunks(ref: ContentRef, start: number, end: number, chunks: Iterable<ChunkRef>): Generator<ChunkRef> {
  if ((start > 0 && start < ref.length) || (end > 0 && end < ref.length)) throw new RangeError(OFF_BOUNDARY);
  const chunk = { digest: ref.root, length: ref.length };
  if (start === ref.length) yield chunk;
  yield* chunks;
  if (start < ref.length && end === 0) yield chunk;
}

function* chunkEntries(chunks: Iterable<ChunkRef>): Generator<ContentEntry> {
  for (const { digest, length } of chunks) if (length > 0) yield chunkEntry(digest, length);
}
