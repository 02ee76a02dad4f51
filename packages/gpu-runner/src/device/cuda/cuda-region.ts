import fs from 'node:fs';
import type { Region, RegionExport } from '../device.js';
import * as libc from '../libc.js';
import type { SlotRing } from '../slot-ring.js';
import type { CudaThread } from './cuda-thread.js';

/** What a region has of its device. */
export interface RegionHome {
  thread: CudaThread;
  ring: SlotRing;
  /** The memory of the ring, and where in it the ring begins. */
  ringMemory: SharedArrayBuffer;
  ringOffset: number;
  uuid: string;
}

/** Memory of a GPU. One of 0 bytes has none. */
export class CudaRegion implements Region {
  readonly sizeBytes: number;
  /** What the driver keeps for it: whole granules. */
  readonly mappedBytes: number;
  readonly dirty = true;
  /** The thread's number for it. */
  readonly memory: number | undefined;
  isFreed = false;
  private readonly home: RegionHome;
  private exported: RegionExport | undefined;

  constructor(home: RegionHome, sizeBytes: number, place: { memory: number; mappedBytes: number } | undefined) {
    this.home = home;
    this.sizeBytes = sizeBytes;
    this.memory = place?.memory;
    this.mappedBytes = place?.mappedBytes ?? 0;
  }

  async copyIn(offset: number, source: Uint8Array): Promise<void> {
    this.check(offset, source.length);
    const { thread, ring, ringMemory, ringOffset } = this.home;
    if (source.length === 0) return;
    if (source.buffer === ringMemory) {
      const from = source.byteOffset - ringOffset;
      return thread.request('copyIn', { memory: this.memory!, offset, bytes: source.length, ringOffset: from });
    }
    // Memory that is not pinned goes by copies, which the messages make; all under way at once, and in order.
    const parts: Promise<void>[] = [];
    for (let at = 0; at < source.length; at += ring.slotBytes) {
      const data = source.slice(at, at + ring.slotBytes);
      parts.push(thread.request('copyIn', { memory: this.memory!, offset: offset + at, bytes: data.length, data }));
    }
    for (const { status, ...result } of await Promise.allSettled(parts))
      if (status === 'rejected') throw (result as PromiseRejectedResult).reason;
  }

  async copyFrom(source: Region, sourceOffset: number, offset: number, length: number): Promise<void> {
    if (!(source instanceof CudaRegion) || source.home !== this.home) throw new TypeError('copies stay within one device');
    this.check(offset, length);
    source.check(sourceOffset, length);
    if (length === 0) return;
    return this.home.thread.request('copyFrom', { memory: this.memory!, offset, source: source.memory!, sourceOffset, bytes: length });
  }

  async clear(offset: number, length: number): Promise<void> {
    this.check(offset, length);
    if (length > 0) await this.home.thread.request('clear', { memory: this.memory!, offset, bytes: length });
  }

  /** Copies from the device, for checks. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    this.check(offset, length);
    return length === 0 ? new Uint8Array(0) : this.home.thread.request('read', { memory: this.memory!, offset, bytes: length });
  }

  /** Makes the handle for others. The driver has no memory that its owner cannot write to: this side keeps to it by having no way. */
  async seal(): Promise<void> {
    if (this.exported !== undefined) return;
    const { thread, uuid } = this.home;
    if (this.memory === undefined) {
      this.exported = { kind: 'none' };
      return;
    }
    const made = await thread.request('export', { memory: this.memory });
    // The driver does not promise it, and processes that are started here must not hold the memory by accident.
    if ('descriptor' in made) libc.control(made.descriptor, libc.F_SETFD, libc.FD_CLOEXEC);
    const common = { allocationBytes: this.mappedBytes, uuid };
    this.exported =
      'handle' in made
        ? { kind: 'cuda-ipc', handle: made.handle, ...common }
        : { kind: 'cuda-vmm', descriptor: made.descriptor, ...common };
  }

  export(): RegionExport {
    if (this.exported === undefined) throw new Error('a region is exported when it is sealed');
    return this.exported;
  }

  /** The descriptor that others have goes; theirs stay, and what they have mapped. */
  withdraw(): void {
    if (this.exported?.kind === 'cuda-vmm') fs.closeSync(this.exported.descriptor);
    this.exported = undefined;
  }

  private check(offset: number, length: number): void {
    if (offset < 0 || length < 0 || offset + length > this.sizeBytes)
      throw new RangeError(`${length} bytes at ${offset} of a region of ${this.sizeBytes}`);
  }
}
