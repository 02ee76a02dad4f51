import { digestsEqual, type Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { NodeSink } from '../objects/node-store.js';
import { EMPTY_CONTENT, type ChunkRef, type ContentRef } from './content-ref.js';
import { encodeContentNode, endsContentNode, type ContentEntry } from './node.js';

/** Cuts the entries of one level into nodes. A full node is written when an entry follows it, or at `close`. */
export class LevelBuilder {
  readonly level: number;
  /** Nodes written so far. */
  written = 0;
  private readonly sink: NodeSink;
  private readonly emit: (node: ContentEntry) => void;
  private entries: ContentEntry[] = [];

  constructor(level: number, sink: NodeSink, emit: (node: ContentEntry) => void) {
    this.level = level;
    this.sink = sink;
    this.emit = emit;
  }

  push(entry: ContentEntry): void {
    const last = this.entries.at(-1);
    if (last !== undefined && this.continues(last, entry)) {
      this.entries[this.entries.length - 1] = { ...last, repeats: last.repeats + entry.repeats };
      return;
    }
    if (last !== undefined && endsContentNode(this.entries.length, last.digest)) this.close();
    this.entries.push(entry);
  }

  /** Whether a node would start with `entry`, were it pushed now. */
  startsNodeWith(entry: ContentEntry): boolean {
    const last = this.entries.at(-1);
    return last === undefined || (!this.continues(last, entry) && endsContentNode(this.entries.length, last.digest));
  }

  /** The entry, when only one has ever been pushed. */
  get only(): ContentEntry | undefined {
    return this.written === 0 && this.entries.length === 1 ? this.entries[0] : undefined;
  }

  get isEmpty(): boolean {
    return this.written === 0 && this.entries.length === 0;
  }

  /** Writes what is left as a node, full or not. */
  close(): void {
    if (this.entries.length === 0) return;
    const root = this.sink.put(ObjectKind.contentNode, encodeContentNode(this.level, this.entries));
    const length = this.entries.reduce((sum, entry) => sum + entry.length * entry.repeats, 0);
    this.entries = [];
    this.written++;
    this.emit({ digest: root, length, repeats: 1 });
  }

  /** Only chunks are counted in runs: nodes that repeat are rare, and cost one entry each. */
  private continues(last: ContentEntry, entry: ContentEntry): boolean {
    return this.level === 1 && last.length === entry.length && digestsEqual(last.digest, entry.digest);
  }
}

/** Builds all levels from `firstLevel` upward at once, keeping one unfinished node of each. */
export class TreeBuilder {
  private readonly sink: NodeSink;
  private readonly firstLevel: number;
  private readonly levels: LevelBuilder[] = [];

  constructor(sink: NodeSink, firstLevel = 1) {
    this.sink = sink;
    this.firstLevel = firstLevel;
  }

  push(entry: ContentEntry): void {
    this.level(0).push(entry);
  }

  finish(): ContentRef {
    if (this.level(0).isEmpty) return EMPTY_CONTENT;
    for (let i = 0; ; i++) {
      const builder = this.level(i);
      const root = rootOf(builder);
      if (root !== undefined) return root;
      builder.close();
    }
  }

  private level(index: number): LevelBuilder {
    return (this.levels[index] ??= new LevelBuilder(this.firstLevel + index, this.sink, (node) => {
      this.level(index + 1).push(node);
    }));
  }
}

/** The content whose whole level is one entry: a tree ends with the first level that has a single part. */
export function rootOf(builder: LevelBuilder): ContentRef | undefined {
  const only = builder.only;
  return only?.repeats === 1 ? { height: builder.level - 1, root: only.digest, length: only.length } : undefined;
}

/** A chunk as an entry of level 1. */
export function chunkEntry(digest: Digest, length: number): ContentEntry {
  return { digest, length, repeats: 1 };
}

/**
 * The content that consists of these chunks in this order; its nodes go to `sink`. Chunks of no bytes
 * are left out. Streaming: memory for one unfinished node per level.
 */
export function buildContent(sink: NodeSink, chunks: Iterable<ChunkRef>): ContentRef {
  const tree = new TreeBuilder(sink);
  for (const { digest, length } of chunks) if (length > 0) tree.push(chunkEntry(digest, length));
  return tree.finish();
}
