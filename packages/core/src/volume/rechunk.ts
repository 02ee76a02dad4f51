import { CHUNK_MAX, nextCut, TENSOR_BLOCK } from '../chunking/cuts.js';
import type { GearScanner } from '../chunking/gear.js';
import { blockEnd, LayoutCursor } from '../chunking/layout-cuts.js';
import type { Layout, Region } from '../chunking/layout.js';
import { detectLayout } from '../chunking/layout.js';
import type { ChunkRef, ContentRef } from '../content/content.js';
import { chunksOf, spliceContent } from '../content/content.js';
import type { NodeSink, NodeSource } from '../objects/node-store.js';

type Read = (position: number, target: Uint8Array) => Promise<number>;

/** An edit in place: bytes keep their positions; they are overwritten, appended or cut off. */
export interface Edit {
  nodes: NodeSource & NodeSink;
  scanner: GearScanner;
  before: ContentRef;
  /** Length after the edit. */
  size: number;
  /** Ascending ranges that were written. What lies beyond `before` and in no range is zeros. */
  writtenRanges: { start: number; end: number }[];
  readBefore: Read;
  readAfter: Read;
  put: (bytes: Uint8Array) => ChunkRef;
}

interface Range {
  start: number;
  end: number;
}

/**
 * The content after an edit: the very chunks that storing the edited file from scratch gives, found by cutting again only
 * around the written ranges. A chunk depends on its start, its bytes and its region's end alone; so as soon as a new cut
 * falls on an old one with nothing written behind it, the old chunks go on.
 */
export async function rechunk(edit: Edit): Promise<ContentRef> {
  const { nodes, before, size } = edit;
  const [oldLayout, newLayout] = [await layoutOf(edit.readBefore, before.length), await layoutOf(edit.readAfter, size)];
  const cutter = new Cutter(edit, oldLayout, newLayout);
  const dirty = sameLayout(oldLayout, newLayout) ? changedRanges(edit) : [{ start: 0, end: Math.max(size, before.length) }];

  const splices: { start: number; end: number; chunks: ChunkRef[] }[] = [];
  for (let i = 0; i < dirty.length;) {
    let { start: position, end: dirtyEnd } = widened(nodes, before, dirty[i] as Range);
    i++;
    const start = position;
    const chunks: ChunkRef[] = [];
    for (;;) {
      // The next range may begin in what this one has reached; its chunk's start is then behind us.
      for (let next = dirty[i]; next !== undefined && widened(nodes, before, next).start <= position; next = dirty[i]) {
        dirtyEnd = Math.max(dirtyEnd, next.end);
        i++;
      }
      if (position >= size || (position >= dirtyEnd && position <= before.length && cutter.isOldCut(position))) break;
      const chunk = await cutter.next(position);
      chunks.push(chunk);
      position += chunk.length;
    }
    splices.push({ start, end: position >= size ? before.length : position, chunks });
  }
  // From the back, so that the offsets of those in front stay what they were.
  let content = before;
  for (const { start, end, chunks } of splices.reverse())
    content = spliceContent(nodes, nodes, content, start, Math.max(start, end), chunks);
  return content;
}

/** The written ranges, the hole behind the old end, and the old last chunk wherever the end moved. */
function changedRanges({ before, size, writtenRanges }: Edit): Range[] {
  const ranges = writtenRanges.map(({ start, end }) => ({ start, end }));
  if (size !== before.length) {
    const end = Math.min(size, before.length);
    ranges.push({ start: Math.max(0, end - 1), end: Math.max(size, before.length) });
  }
  ranges.sort((a, b) => a.start - b.start);
  const merged: Range[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last !== undefined && range.start <= last.end) last.end = Math.max(last.end, range.end);
    else merged.push({ ...range });
  }
  return merged;
}

/** The range from the start of the old chunk that it begins in. */
function widened(nodes: NodeSource, before: ContentRef, range: Range): Range {
  if (before.length === 0) return { start: 0, end: range.end };
  for (const chunk of chunksOf(nodes, before, Math.min(range.start, before.length - 1), before.length))
    return { start: chunk.offset, end: range.end };
  return { start: 0, end: range.end };
}

/** Cuts the edited file from any chunk start on, taking over old chunks where they are known to be right. */
class Cutter {
  private readonly edit: Edit;
  private readonly oldLayout: LayoutCursor;
  private readonly newLayout: LayoutCursor;
  private readonly window = new Uint8Array(TENSOR_BLOCK);
  private windowStart = 0;
  private windowLength = 0;

  constructor(edit: Edit, oldLayout: Layout, newLayout: Layout) {
    this.edit = edit;
    this.oldLayout = new LayoutCursor(oldLayout);
    this.newLayout = new LayoutCursor(newLayout);
  }

  isOldCut(position: number): boolean {
    return position === this.edit.before.length || this.oldChunkAt(position) !== undefined;
  }

  async next(position: number): Promise<ChunkRef> {
    const region = this.newLayout.regionAt(position);
    const limit = Math.min(region.end, this.edit.size);
    const old = this.oldChunkAt(position);
    if (old !== undefined && this.stillRight(position, old, region, limit)) return old;
    if (region.rule === 'blocks') {
      return this.edit.put((await this.bytes(position, Math.min(limit, blockEnd(region, position)) - position)).slice());
    }
    const bytes = await this.bytes(position, Math.min(CHUNK_MAX, limit - position));
    return this.edit.put(bytes.slice(0, nextCut(this.edit.scanner, bytes, 0, 0, bytes.byteLength) || bytes.byteLength));
  }

  private oldChunkAt(position: number): ChunkRef | undefined {
    const { nodes, before } = this.edit;
    if (position >= before.length) return undefined;
    for (const chunk of chunksOf(nodes, before, position, position + 1))
      return chunk.offset === position ? { digest: chunk.digest, length: chunk.length } : undefined;
    return undefined;
  }

  /** Whether an untouched old chunk is what the rule gives here now. */
  private stillRight(position: number, old: ChunkRef, region: Region, limit: number): boolean {
    const end = position + old.length;
    if (end > limit || this.isWritten(position, end)) return false;
    if (region.rule === 'blocks') return end === Math.min(limit, blockEnd(region, position));
    const oldRegion = this.oldLayout.regionAt(position);
    if (oldRegion.rule !== 'generic') return false;
    const cutByRule = end < Math.min(oldRegion.end, this.edit.before.length);
    return cutByRule || end === limit;
  }

  private isWritten(from: number, to: number): boolean {
    return this.edit.writtenRanges.some((range) => range.start < to && range.end > from);
  }

  /** A view of the edited file, valid until the next call. */
  private async bytes(position: number, length: number): Promise<Uint8Array> {
    if (position < this.windowStart || position + length > this.windowStart + this.windowLength) {
      this.windowStart = position;
      this.windowLength = await this.edit.readAfter(position, this.window);
    }
    const from = position - this.windowStart;
    return this.window.subarray(from, from + length);
  }
}

/** Recognises a file by its prefix, reading no more of it than the header takes. */
async function layoutOf(read: Read, size: number): Promise<Layout> {
  for (let want = Math.min(size, 16); ;) {
    const prefix = new Uint8Array(want);
    await read(0, prefix);
    const result = detectLayout(prefix, want === size);
    if ('layout' in result) return result.layout;
    want = Math.min(size, Math.max(result.need, want + 1));
  }
}

/** Layouts with equal regions cut alike. */
function sameLayout(a: Layout, b: Layout): boolean {
  return (
    a.regions.length === b.regions.length &&
    a.regions.every((region, i) => {
      const other = b.regions[i] as Region;
      return region.start === other.start && region.end === other.end && region.rule === other.rule;
    })
  );
}
