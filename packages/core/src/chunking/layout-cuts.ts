import { chunkGeneric, TENSOR_BLOCK } from './cuts.js';
import type { GearScanner } from './gear.js';
import { layoutOf, type Layout, type Region } from './layout.js';

/** Answers where a position of a file lies in its layout: O(log n), and O(1) when positions are asked for in order. */
export class LayoutCursor {
  private readonly regions: readonly Region[];
  private last = 0;

  constructor(layout: Layout) {
    this.regions = layout.regions;
  }

  /** The region that holds the byte at `offset`. */
  regionAt(offset: number): Region {
    return this.regions[this.indexAt(offset)]!;
  }

  /** Its place in `Layout.regions`. */
  indexAt(offset: number): number {
    for (const near of [this.last, this.last + 1]) {
      const region = this.regions[near];
      if (region !== undefined && region.start <= offset && offset < region.end) return (this.last = near);
    }
    let low = 0;
    let high = this.regions.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >>> 1;
      if (this.regions[middle]!.start <= offset) low = middle;
      else high = middle - 1;
    }
    return (this.last = low);
  }
}

/** End of the block of a `blocks` region that holds the byte at `offset`. */
export function blockEnd(region: Region, offset: number): number {
  return Math.min(region.end, region.start + (Math.floor((offset - region.start) / TENSOR_BLOCK) + 1) * TENSOR_BLOCK);
}

/** What a piece of a plan is. */
export const PieceKind = {
  /** One chunk of a tensor. */
  chunk: 0,
  /** One chunk of a tensor of plain floating-point numbers. */
  floatChunk: 1,
  /** A run of bytes to be cut by the generic rule, begun anew at its start. */
  generic: 2,
} as const;
export type PieceKind = (typeof PieceKind)[keyof typeof PieceKind];

/** The pieces that follow each other from `start`; piece i ends (exclusive) at `ends[i]` and is of `kinds[i]`. 9 bytes each. */
export interface CutPlan {
  start: number;
  ends: Float64Array;
  kinds: Uint8Array;
}

/**
 * The cuts that a layout alone decides, of the pieces of a file of `size` bytes which start in [from, to). `from` has to be the
 * start of a piece.
 */
export function plannedCuts(layout: Layout, size: number, from = 0, to = size): CutPlan {
  const ends: number[] = [];
  const kinds: PieceKind[] = [];
  const stop = Math.min(size, to);
  let index = new LayoutCursor(layout).indexAt(from);
  for (let at = from; at < stop;) {
    const region = layout.regions[index]!;
    const end = Math.min(size, region.rule === 'blocks' ? blockEnd(region, at) : region.end);
    ends.push(end);
    kinds.push(region.rule === 'generic' ? PieceKind.generic : region.float === true ? PieceKind.floatChunk : PieceKind.chunk);
    at = end;
    if (end === region.end) index++;
  }
  return { start: from, ends: Float64Array.from(ends), kinds: Uint8Array.from(kinds) };
}

/** End offsets of all chunks of a whole file in memory. Every other way to store these bytes gives the same chunks. */
export function chunkBytes(bytes: Uint8Array, scanner: GearScanner, layout: Layout = layoutOf(bytes)): number[] {
  const plan = plannedCuts(layout, bytes.byteLength);
  const cuts: number[] = [];
  let start = plan.start;
  plan.ends.forEach((end, i) => {
    if (plan.kinds[i] === PieceKind.generic) for (const cut of chunkGeneric(bytes.subarray(start, end), scanner)) cuts.push(start + cut);
    else cuts.push(end);
    start = end;
  });
  return cuts;
}
