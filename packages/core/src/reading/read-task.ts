import type { Location } from '../index/records.js';
import { chunkCount, chunkDigest, chunkLength } from '../workers/chunk-rows.js';
import type { WorkerEnvironment } from '../workers/environment.js';
import { ChunkFetcher } from './chunk-fetcher.js';
import { PLACE_FIELDS, type ReadResult, type ReadTask } from './messages.js';

/** Puts chunks where they are wanted, in the order in which they lie on the disk. */
export async function readChunks(environment: WorkerEnvironment, task: ReadTask): Promise<ReadResult> {
  const fetcher = new ChunkFetcher(environment, task);
  const missing: number[] = [];
  const found: { row: number; location: Location }[] = [];
  for (let row = 0; row < chunkCount(task.rows); row++) {
    const location = fetcher.locate(chunkDigest(task.rows, row));
    if (location === undefined) missing.push(row);
    else found.push({ row, location });
  }
  found.sort((a, b) => compare(a.location, b.location));
  for (const { row, location } of found) {
    const [number, at, from, to] = task.places.subarray(row * PLACE_FIELDS, (row + 1) * PLACE_FIELDS) as unknown as [
      number,
      number,
      number,
      number,
    ];
    const target = task.targets[number]!.subarray(at, at + to - from);
    fetcher.fetch(chunkDigest(task.rows, row), chunkLength(task.rows, row), location, from, to, target);
  }
  return { missing };
}

/** Order on the disk. */
export function compare(a: Location, b: Location): number {
  if (a.pack === b.pack) return a.offset - b.offset;
  return a.pack < b.pack ? -1 : 1;
}
