import type { ReadView } from '@cairn/core';
import type { Device, Region } from '../device/device.js';
import { SlotRing } from '../device/slot-ring.js';
import type { PlannedRead } from '../plan/load-plan.js';
import type { LoadJob, LoadOptions, RegionCopy } from './job.js';
import { timed, type LoadMetrics } from './metrics.js';
import { gapsOf, gather, piecesOf, type ChunkEnds, type LoadPiece } from './pieces.js';

/** Pieces that go straight into device memory may be large: the store cuts them up for its workers. */
const DIRECT_BYTES = 64 << 20;
const DIRECT_LANES = 2;
/**
 * Free slots that are filled by one call of the store, which then has enough to do for all of its workers: a call costs as much as
 * reading a MiB. When the device is slow there are never so many.
 */
const BATCH_SLOTS = 4;
const ZEROS = new Uint8Array(1 << 20);

interface Staged {
  piece: LoadPiece;
  slot: Uint8Array;
}

/** One job as it runs: reads that go straight to where they belong, and reads by way of slots, which copies leave behind. */
export class Filling {
  private readonly view: ReadView;
  private readonly regions: readonly Region[];
  private readonly metrics: LoadMetrics;
  private readonly options: LoadOptions;
  private readonly ring: SlotRing;
  private readonly running = new Set<Promise<void>>();
  private failure: { error: unknown } | undefined;

  constructor(view: ReadView, regions: readonly Region[], metrics: LoadMetrics, device: Device, options: LoadOptions) {
    this.view = view;
    this.regions = regions;
    this.metrics = metrics;
    this.options = options;
    this.ring = device.ring ?? new SlotRing(options.ring);
  }

  async run(job: LoadJob): Promise<void> {
    const isDirect = (read: PlannedRead): boolean => read.runs === 1 && this.regions[read.region]!.window !== undefined;
    try {
      if (job.keptBytes === undefined) await this.clearGaps(job);
      else this.keep(job.keptBytes);
      for (const copy of job.copies ?? []) await this.reuse(copy);
      const ends = await this.chunkEnds(job.reads);
      for (const piece of piecesOf(job.reads.filter(isDirect), DIRECT_BYTES, ends)) {
        while (this.running.size >= DIRECT_LANES) await Promise.race(this.running);
        this.check();
        this.start(() => this.readDirectly(piece));
      }
      const staged = piecesOf(
        job.reads.filter((read) => !isDirect(read)),
        this.ring.slotBytes,
        ends,
      );
      let batch: Staged[] = [];
      for (const piece of staged) {
        let slot = batch.length < BATCH_SLOTS ? this.ring.tryTake() : undefined;
        if (slot === undefined) {
          this.fill(batch);
          batch = [];
          slot = await this.slotInTurn();
        }
        batch.push({ piece, slot });
      }
      this.fill(batch);
    } catch (error) {
      this.failure ??= { error };
    }
    // Also after an error: nothing may write to the regions when they are freed.
    while (this.running.size > 0) await Promise.all(this.running);
    this.check();
  }

  /** Of the files of which more is read in one run than fits into a piece; without verification a chunk may as well be cut. */
  private async chunkEnds(reads: readonly PlannedRead[]): Promise<Map<string, ChunkEnds>> {
    const all = new Map<string, ChunkEnds>();
    if (this.options.verify === false) return all;
    for (const { path, runBytes } of reads) {
      if (runBytes <= this.ring.slotBytes || all.has(path)) continue;
      const ends: number[] = [];
      for await (const { offset, length } of this.view.chunks(path)) ends.push(offset + length);
      all.set(path, Float64Array.from(ends));
    }
    return all;
  }

  private keep(bytes: number): void {
    this.metrics.reusedBytes += bytes;
    if (bytes > 0) this.advance(bytes);
  }

  private async readDirectly(piece: LoadPiece): Promise<void> {
    const target = this.regions[piece.region]!.window!(piece.offset, piece.bytes);
    await this.read([{ piece, target }]);
    this.advance(piece.bytes);
  }

  private fill(batch: readonly Staged[]): void {
    if (batch.length > 0) this.start(() => this.readStaged(batch));
  }

  private async readStaged(batch: readonly Staged[]): Promise<void> {
    const waiting = new Set(batch);
    try {
      await this.read(batch.map(({ piece, slot }) => ({ piece, target: slot })));
      const copies = batch.map((staged) => {
        waiting.delete(staged);
        return this.copyOut(staged);
      });
      for (const result of await Promise.allSettled(copies)) if (result.status === 'rejected') throw result.reason;
    } finally {
      for (const { slot } of waiting) this.ring.give(slot);
    }
  }

  /** From a slot into the device; then the slot is free. */
  private async copyOut({ piece, slot }: Staged): Promise<void> {
    try {
      gather(slot, piece);
      await timed(this.metrics, 'copyMs', () => this.regions[piece.region]!.copyIn(piece.offset, slot.subarray(0, piece.bytes)));
      this.metrics.copiedBytes += piece.bytes;
      this.advance(piece.bytes);
    } finally {
      this.ring.give(slot);
    }
  }

  private async read(wanted: readonly { piece: LoadPiece; target: Uint8Array }[]): Promise<void> {
    const { signal, verify } = this.options;
    const options = { signal, ...(verify === undefined ? {} : { verify }) };
    const requests = wanted.map(({ piece: { path, position, sourceBytes }, target }) => ({
      path,
      position,
      target: target.subarray(0, sourceBytes),
    }));
    await timed(this.metrics, 'readMs', () => this.view.readInto(requests, options));
    this.metrics.readBytes += requests.reduce((sum, { target }) => sum + target.length, 0);
  }

  private async reuse({ source, sourceOffset, region, offset, bytes }: RegionCopy): Promise<void> {
    this.check();
    await timed(this.metrics, 'copyMs', () => this.regions[region]!.copyFrom(source, sourceOffset, offset, bytes));
    this.metrics.reusedBytes += bytes;
    this.metrics.copiedBytes += bytes;
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
        if (region.clear !== undefined) await region.clear(offset, bytes);
        else
          for (let at = 0; at < bytes; at += ZEROS.length)
            await region.copyIn(offset + at, ZEROS.subarray(0, Math.min(ZEROS.length, bytes - at)));
    }
  }

  /** Waits for one when none is free; whoever has it has to give it back. */
  private async slotInTurn(): Promise<Uint8Array> {
    let slot = this.ring.tryTake();
    if (slot === undefined) {
      this.metrics.stalls++;
      slot = await timed(this.metrics, 'stallMs', () => this.ring.take());
    }
    try {
      this.check();
      return slot;
    } catch (error) {
      this.ring.give(slot);
      throw error;
    }
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
