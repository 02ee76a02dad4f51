import type { ReadView, Work } from '@cairn/core';
import type { Device, Region } from '../device/device.js';
import type { PlannedRead } from '../plan/load-plan.js';
import { emptyMetrics, timed, type LoadMetrics } from './metrics.js';
import { gapsOf, gather, piecesOf, type LoadPiece } from './pieces.js';
import { SlotRing, type SlotRingOptions } from './slot-ring.js';

/** Bytes that are in memory already, of an earlier load. */
export interface RegionCopy {
  source: Region;
  sourceOffset: number;
  region: number;
  offset: number;
  bytes: number;
}

/** Everything that fills a set of regions. */
export interface LoadJob {
  regionBytes: readonly number[];
  reads: readonly PlannedRead[];
  copies?: readonly RegionCopy[];
}

export interface LoadOptions extends Work {
  /** Check every chunk's digest on the way. Default: as the store was opened. */
  verify?: boolean;
  ring?: SlotRingOptions;
}

export interface LoadedRegions {
  regions: Region[];
  metrics: LoadMetrics;
}

/** Pieces that go straight into device memory may be large: the store cuts them up for its workers. */
const DIRECT_BYTES = 64 << 20;
const DIRECT_LANES = 2;
const ZEROS = new Uint8Array(1 << 20);

/**
 * Allocates the regions of a plan, fills them from a snapshot and seals them. Where this process can reach the device's memory the
 * store reads straight into it; otherwise through a ring of slots, so that reads and copies overlap and memory stays bounded.
 * Everything is freed again when it fails or is aborted.
 *
 * @throws DamageError, OutOfMemoryError, the signal's reason
 */
export async function loadRegions(view: ReadView, job: LoadJob, device: Device, options: LoadOptions = {}): Promise<LoadedRegions> {
  const start = performance.now();
  const metrics = emptyMetrics(job.regionBytes.reduce((sum, bytes) => sum + bytes, 0));
  const regions: Region[] = [];
  try {
    for (const bytes of job.regionBytes) regions.push(await timed(metrics, 'allocateMs', () => device.allocate(bytes, options)));
    await new Filling(view, regions, metrics, options).run(job);
    for (const region of regions) await region.seal();
  } catch (error) {
    for (const region of regions) device.free(region);
    throw error;
  }
  metrics.elapsedMs = performance.now() - start;
  return { regions, metrics };
}

class Filling {
  private readonly view: ReadView;
  private readonly regions: readonly Region[];
  private readonly metrics: LoadMetrics;
  private readonly options: LoadOptions;
  private readonly ring: SlotRing;
  private readonly running = new Set<Promise<void>>();
  private failure: { error: unknown } | undefined;

  constructor(view: ReadView, regions: readonly Region[], metrics: LoadMetrics, options: LoadOptions) {
    this.view = view;
    this.regions = regions;
    this.metrics = metrics;
    this.options = options;
    this.ring = new SlotRing(options.ring);
  }

  async run(job: LoadJob): Promise<void> {
    const isDirect = (read: PlannedRead): boolean => read.runs === 1 && this.regions[read.region]!.window !== undefined;
    try {
      await this.clearGaps(job);
      for (const copy of job.copies ?? []) await this.reuse(copy);
      for (const piece of piecesOf(job.reads.filter(isDirect), DIRECT_BYTES)) {
        while (this.running.size >= DIRECT_LANES) await Promise.race(this.running);
        this.check();
        this.start(() => this.readDirectly(piece));
      }
      for (const piece of piecesOf(
        job.reads.filter((read) => !isDirect(read)),
        this.ring.slotBytes,
      )) {
        const slot = this.ring.tryTake() ?? (await this.stall());
        this.check();
        this.start(() => this.readStaged(piece, slot));
      }
    } catch (error) {
      this.failure ??= { error };
    }
    // Also after an error: nothing may write to the regions when they are freed.
    while (this.running.size > 0) await Promise.all(this.running);
    this.check();
  }

  private async readDirectly(piece: LoadPiece): Promise<void> {
    const target = this.regions[piece.region]!.window!(piece.offset, piece.bytes);
    await this.read(piece, target);
    this.advance(piece.bytes);
  }

  private async readStaged(piece: LoadPiece, slot: Uint8Array): Promise<void> {
    try {
      await this.read(piece, slot.subarray(0, piece.sourceBytes));
      gather(slot, piece);
      await timed(this.metrics, 'copyMs', () => this.regions[piece.region]!.copyIn(piece.offset, slot.subarray(0, piece.bytes)));
      this.advance(piece.bytes);
    } finally {
      this.ring.give(slot);
    }
  }

  private async read({ path, position, sourceBytes }: LoadPiece, target: Uint8Array): Promise<void> {
    const { signal, verify } = this.options;
    const options = { signal, ...(verify === undefined ? {} : { verify }) };
    await timed(this.metrics, 'readMs', () => this.view.readInto({ path, position, target: target.subarray(0, sourceBytes) }, options));
    this.metrics.readBytes += sourceBytes;
  }

  private async reuse({ source, sourceOffset, region, offset, bytes }: RegionCopy): Promise<void> {
    this.check();
    await timed(this.metrics, 'copyMs', () => this.regions[region]!.copyFrom(source, sourceOffset, offset, bytes));
    this.metrics.reusedBytes += bytes;
    this.advance(bytes);
  }

  /** Memory that held another model must not show it between the tensors of this one. */
  private async clearGaps({ reads, copies = [] }: LoadJob): Promise<void> {
    for (const [number, region] of this.regions.entries()) {
      if (!region.dirty) continue;
      const filled = [
        ...reads.filter((read) => read.region === number).map(({ offset, runBytes, runs }) => ({ offset, bytes: runBytes * runs })),
        ...copies.filter((copy) => copy.region === number),
      ];
      for (const { offset, bytes } of gapsOf(region.sizeBytes, filled))
        for (let at = 0; at < bytes; at += ZEROS.length)
          await region.copyIn(offset + at, ZEROS.subarray(0, Math.min(ZEROS.length, bytes - at)));
    }
  }

  private async stall(): Promise<Uint8Array> {
    this.metrics.stalls++;
    return timed(this.metrics, 'stallMs', () => this.ring.take());
  }

  private start(work: () => Promise<void>): void {
    const task = work()
      .catch((error: unknown) => void (this.failure ??= { error }))
      .finally(() => this.running.delete(task));
    this.running.add(task);
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure.error;
    this.options.signal?.throwIfAborted();
  }

  private done = 0;

  private advance(bytes: number): void {
    this.done += bytes;
    this.options.onProgress?.({ phase: 'loading', bytes: this.done, totalBytes: this.metrics.totalBytes, files: 0, newBytes: 0 });
  }
}
