import type { PlannedRead } from '../plan/load-plan.js';

/** A part of a planned read that is brought over in one go: `sourceBytes` of the file, of which every run is kept. */
export interface LoadPiece {
  path: string;
  /** Of the first byte that is read. */
  position: number;
  sourceBytes: number;
  /** Runs within what is read, from its first byte on. */
  runBytes: number;
  runs: number;
  strideBytes: number;
  region: number;
  offset: number;
  /** Bytes that arrive: `runBytes * runs`. */
  bytes: number;
}

/** Of a file: where its chunks end, ascending, the last one where the file does. */
export type ChunkEnds = Float64Array;

/**
 * Cuts reads into pieces of at most `limit` bytes of the file. Runs that lie apart are read together with what is between them:
 * chunks of the store are read whole in any case, and one read a row would be thousands. Only a run that is longer than the limit
 * is cut, and where it can be between two chunks: a chunk in two pieces would be read and verified for each of them.
 *
 * @param ends of the files that are known
 */
export function* piecesOf(reads: Iterable<PlannedRead>, limit: number, ends: ReadonlyMap<string, ChunkEnds>): Generator<LoadPiece> {
  for (const read of reads) {
    const { path, region, runBytes, runs, strideBytes } = read;
    if (runs === 1 || runBytes > limit) {
      for (let run = 0; run < runs; run++) yield* oneRun(read, run, limit, ends.get(path));
      continue;
    }
    const together = Math.max(1, Math.floor((limit - runBytes) / strideBytes) + 1);
    for (let run = 0; run < runs; run += together) {
      const count = Math.min(together, runs - run);
      yield {
        path,
        position: read.position + run * strideBytes,
        sourceBytes: (count - 1) * strideBytes + runBytes,
        runBytes,
        runs: count,
        strideBytes,
        region,
        offset: read.offset + run * runBytes,
        bytes: count * runBytes,
      };
    }
  }
}

function* oneRun(
  { path, position, region, offset, runBytes, strideBytes }: PlannedRead,
  run: number,
  limit: number,
  ends: ChunkEnds | undefined,
): Generator<LoadPiece, void, undefined> {
  const start = position + run * strideBytes;
  for (let at = 0; at < runBytes;) {
    const bytes = Math.min(runBytes - at, ends === undefined ? limit : bytesToCut(ends, start + at, limit));
    yield {
      path,
      position: start + at,
      sourceBytes: bytes,
      runBytes: bytes,
      runs: 1,
      strideBytes: bytes,
      region,
      offset: offset + run * runBytes + at,
      bytes,
    };
    at += bytes;
  }
}

/** Up to the last end of a chunk within `limit` bytes from a position; `limit` where there is none, or the file ends there. */
function bytesToCut(ends: ChunkEnds, position: number, limit: number): number {
  let low = 0;
  let high = ends.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (ends[middle]! > position + limit) high = middle;
    else low = middle + 1;
  }
  const cut = low === 0 ? 0 : ends[low - 1]! - position;
  return cut <= 0 || low === ends.length ? limit : cut;
}

/** Moves the runs of a piece together, to the front of the memory that it was read into. */
export function gather(memory: Uint8Array, { runBytes, runs, strideBytes }: LoadPiece): void {
  if (strideBytes === runBytes) return;
  for (let run = 1; run < runs; run++) memory.copyWithin(run * runBytes, run * strideBytes, run * strideBytes + runBytes);
}

/** The places of a region that no read fills, given what fills it: paddings between tensors. */
export function gapsOf(regionBytes: number, filled: readonly { offset: number; bytes: number }[]): { offset: number; bytes: number }[] {
  const gaps: { offset: number; bytes: number }[] = [];
  let end = 0;
  for (const { offset, bytes } of [...filled].sort((a, b) => a.offset - b.offset)) {
    if (offset > end) gaps.push({ offset: end, bytes: offset - end });
    end = Math.max(end, offset + bytes);
  }
  if (end < regionBytes) gaps.push({ offset: end, bytes: regionBytes - end });
  return gaps;
}
