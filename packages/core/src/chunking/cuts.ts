import type { GearScanner } from './gear.js';

/** Sizes of the published Xet rule. Part of the format: the same bytes must give the same chunks in every version. */
export const CHUNK_MIN = 8192;
export const CHUNK_TARGET = 65536;
export const CHUNK_MAX = 131072;
/** Tensors are cut every so many bytes, counted from the tensor's start. */
export const TENSOR_BLOCK = 1 << 20;

/**
 * Picks the cuts of one generic region out of its triggers: from chunk start s the first trigger t with
 * CHUNK_MIN <= t - s <= CHUNK_MAX, else s + CHUNK_MAX, else the region's end. Triggers may come from anywhere (segments that
 * were scanned apart), in any number of steps: the cuts do not depend on them. Positions are absolute in the file.
 */
export class CutSelector {
  private start: number;

  constructor(regionStart: number) {
    this.start = regionStart;
  }

  /** Where the chunk that is not cut yet starts. */
  get chunkStart(): number {
    return this.start;
  }

  /**
   * Takes the next `count` triggers, ascending, each at `base` + its value, and appends the cuts that are now certain to
   * `cuts`. All triggers up to `scannedTo` have then been given. `scannedTo` must not be beyond the region's end.
   */
  advance(triggers: Uint32Array, count: number, base: number, scannedTo: number, cuts: number[]): void {
    for (let i = 0; i < count; i++) {
      const trigger = base + triggers[i]!;
      this.cutFull(trigger, cuts);
      if (trigger - this.start >= CHUNK_MIN) this.cut(trigger, cuts);
    }
    this.cutFull(scannedTo, cuts);
  }

  /** Ends the region, all of whose triggers have been given: what is left is its last chunk. */
  finish(regionEnd: number, cuts: number[]): void {
    this.cutFull(regionEnd, cuts);
    if (regionEnd > this.start) this.cut(regionEnd, cuts);
  }

  private cutFull(upTo: number, cuts: number[]): void {
    while (upTo - this.start >= CHUNK_MAX) this.cut(this.start + CHUNK_MAX, cuts);
  }

  private cut(end: number, cuts: number[]): void {
    cuts.push(end);
    this.start = end;
  }
}

const first = new Uint32Array(1);

/**
 * The cut of the chunk that starts at `data[chunkStart]`, or 0 while it cannot be told from `data[0 .. available)`. `scanned`
 * is how far earlier calls for this chunk have looked (`chunkStart` at first). The bytes under CHUNK_MIN are not hashed. The
 * end of the region ends its last chunk: that is for the caller to see.
 */
export function nextCut(scanner: GearScanner, data: Uint8Array, chunkStart: number, scanned: number, available: number): number {
  const from = Math.max(scanned, chunkStart + CHUNK_MIN - 1);
  const to = Math.min(available, chunkStart + CHUNK_MAX);
  if (to > from && scanner.scan(data, from, to, first) === 1) return first[0]!;
  return to === chunkStart + CHUNK_MAX ? to : 0;
}

/** End offsets of the chunks of `bytes` as one generic region; none for no bytes. */
export function chunkGeneric(bytes: Uint8Array, scanner: GearScanner): number[] {
  const cuts: number[] = [];
  for (let start = 0; start < bytes.byteLength;) {
    const rest = bytes.subarray(start, start + CHUNK_MAX);
    start += nextCut(scanner, rest, 0, 0, rest.byteLength) || rest.byteLength;
    cuts.push(start);
  }
  return cuts;
}
