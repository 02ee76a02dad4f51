import { createHash } from 'node:crypto';
import type { ChunkInfo, ReadView } from '@cairn/core';
import type { LoadJob, RegionCopy } from '../load/job.js';
import { gapsOf } from '../load/pieces.js';
import type { Region } from '../device/device.js';
import type { LoadPlan, PlannedRead } from '../plan/load-plan.js';

/** Bytes of a region that are known by content: equal keys are equal bytes. */
export interface InventoryItem {
  key: string;
  read: PlannedRead;
}

/**
 * What a plan puts where, chunk by chunk: the plan's reads cut along the chunks of their files. From the trees alone, no data is
 * read; a chunk is 64 KiB to 1 MiB.
 */
export async function takeInventory(view: ReadView, plan: LoadPlan): Promise<InventoryItem[]> {
  const items: InventoryItem[] = [];
  for (const path of new Set(plan.reads.map((read) => read.path))) {
    const chunks: ChunkInfo[] = [];
    for await (const chunk of view.chunks(path)) chunks.push(chunk);
    for (const read of plan.reads)
      if (read.path === path) items.push(...(read.runs === 1 ? alongChunks(read, chunks) : [wholeRead(read, chunks)]));
  }
  return items;
}

/**
 * The job that fills a new plan from memory of an earlier load as far as its content is there, and from the store otherwise.
 * Found by content, so bytes that have only moved are not read again either.
 */
export function refreshJob(
  plan: LoadPlan,
  wanted: readonly InventoryItem[],
  present: readonly InventoryItem[],
  regions: readonly Region[],
): LoadJob {
  const known = new Map(present.map(({ key, read }) => [key, read]));
  const copies: RegionCopy[] = [];
  const reads: PlannedRead[] = [];
  for (const { key, read } of wanted) {
    const old = known.get(key);
    const bytes = read.runBytes * read.runs;
    if (old === undefined) addRead(reads, read);
    else addCopy(copies, { source: regions[old.region]!, sourceOffset: old.offset, region: read.region, offset: read.offset, bytes });
  }
  return { regionBytes: plan.regionBytes, reads, copies };
}

/** What is in memory: a plan, and its inventory. */
export interface Content {
  plan: LoadPlan;
  inventory: readonly InventoryItem[];
}

/**
 * The job that turns the memory of one plan into that of another where it is: it reads what differs. Undefined when the memory is
 * laid out otherwise: bytes between tensors would have to change, too.
 */
export function inPlaceJob(wanted: Content, present: Content): LoadJob | undefined {
  if (layoutOf(wanted.plan) !== layoutOf(present.plan)) return undefined;
  const placeOf = ({ key, read: { region, offset } }: InventoryItem): string => `${region}:${offset}:${key}`;
  const known = new Set(present.inventory.map(placeOf));
  const reads: PlannedRead[] = [];
  let keptBytes = 0;
  for (const item of wanted.inventory) {
    if (known.has(placeOf(item))) keptBytes += item.read.runBytes * item.read.runs;
    else addRead(reads, item.read);
  }
  return { regionBytes: wanted.plan.regionBytes, reads, keptBytes };
}

/** Which bytes of which regions are filled. */
function layoutOf({ regionBytes, reads }: LoadPlan): string {
  const filled = reads.map(({ region, offset, runBytes, runs }) => ({ region, offset, bytes: runBytes * runs }));
  return JSON.stringify(regionBytes.map((size, number) => [size, gapsOf(size, filled.filter(({ region }) => region === number))])); // prettier-ignore
}

function* alongChunks(read: PlannedRead, chunks: readonly ChunkInfo[]): Generator<InventoryItem> {
  const { position, runBytes } = read;
  const end = position + runBytes;
  for (let i = chunkAt(chunks, position); i < chunks.length && chunks[i]!.offset < end; i++) {
    const { digest, offset, length } = chunks[i]!;
    const from = Math.max(position, offset);
    const bytes = Math.min(end, offset + length) - from;
    yield {
      key: `${digest}:${from - offset}:${bytes}`,
      read: { ...read, position: from, runBytes: bytes, strideBytes: bytes, offset: read.offset + from - position },
    };
  }
}

/** Runs that lie apart are one item: known by all chunks that they touch. */
function wholeRead(read: PlannedRead, chunks: readonly ChunkInfo[]): InventoryItem {
  const { position, runBytes, runs, strideBytes } = read;
  const end = position + (runs - 1) * strideBytes + runBytes;
  const first = chunkAt(chunks, position);
  const hash = createHash('sha256').update(JSON.stringify([position - (chunks[first]?.offset ?? 0), runBytes, runs, strideBytes]));
  for (let i = first; i < chunks.length && chunks[i]!.offset < end; i++) hash.update(chunks[i]!.digest);
  return { key: `runs:${hash.digest('hex')}`, read };
}

/** Number of the chunk that holds a position. */
function chunkAt(chunks: readonly ChunkInfo[], position: number): number {
  let [low, high] = [0, chunks.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (chunks[middle]!.offset + chunks[middle]!.length <= position) low = middle + 1;
    else high = middle;
  }
  return low;
}

function addRead(reads: PlannedRead[], read: PlannedRead): void {
  const last = reads.at(-1);
  const joins =
    last?.path === read.path &&
    last.runs === 1 &&
    read.runs === 1 &&
    last.region === read.region &&
    last.position + last.runBytes === read.position &&
    last.offset + last.runBytes === read.offset;
  if (!joins) return void reads.push({ ...read });
  last.runBytes += read.runBytes;
  last.strideBytes = last.runBytes;
}

function addCopy(copies: RegionCopy[], copy: RegionCopy): void {
  const last = copies.at(-1);
  const joins =
    last?.source === copy.source &&
    last.region === copy.region &&
    last.sourceOffset + last.bytes === copy.sourceOffset &&
    last.offset + last.bytes === copy.offset;
  if (joins) last.bytes += copy.bytes;
  else copies.push(copy);
}
