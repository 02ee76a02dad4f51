import { InvalidArgumentError, type Work } from '@cairn/core';
import { CudaError, ModelTooLargeError, OutOfMemoryError } from '../../errors.js';
import type { Device, DeviceInfo, Region } from '../device.js';
import { DEFAULT_SLOT_BYTES, DEFAULT_SLOTS, SlotRing, type SlotRingOptions } from '../slot-ring.js';
import { RESULT } from './abi.js';
import { CudaRegion, type RegionHome } from './cuda-region.js';
import { CudaThread } from './cuda-thread.js';
import type { CudaSharing, OpenedDevice } from './messages.js';

export interface CudaDeviceOptions {
  /** The driver's number of the device; `CUDA_VISIBLE_DEVICES` counts. Default 0. */
  ordinal?: number;
  /** The most device memory that regions take together. Default: what is free when it is opened, less a sixteenth. */
  capacityBytes?: number;
  /** The pinned buffers that all loads onto this device share. */
  ring?: SlotRingOptions;
  /** How others get the memory. Default: `vmm` where the device has virtual memory management, else `ipc`. */
  sharing?: CudaSharing;
  /** Read every copy back from the device and compare. Slow; for machines that are under suspicion. */
  readBack?: boolean;
  /** libcuda. Default: `CAIRN_GPU_LIBCUDA`, else where the system finds it. */
  driverPath?: string;
}

const PAGE_BYTES = 4096;

/** Memory of an NVIDIA GPU, by the CUDA driver API. All calls of the driver are made by a thread of the device's own. */
export class CudaDevice implements Device {
  readonly id: string;
  readonly capacityBytes: number;
  readonly ring: SlotRing;
  private readonly found: OpenedDevice;
  private readonly thread: CudaThread;
  private readonly home: RegionHome;
  private readonly allocated = new Set<CudaRegion>();
  /** Bytes of allocations that are being made. */
  private comingBytes = 0;
  private closing: Promise<void> | undefined;

  private constructor(
    id: string,
    capacityBytes: number | undefined,
    ring: Required<SlotRingOptions>,
    ringMemory: SharedArrayBuffer,
    { thread, found }: { thread: CudaThread; found: OpenedDevice },
  ) {
    this.id = id;
    this.found = found;
    this.thread = thread;
    this.capacityBytes = capacityBytes ?? found.freeBytes - Math.floor(found.freeBytes / 16);
    const { ringOffset, uuid } = found;
    this.ring = new SlotRing(ring, (number) => new Uint8Array(ringMemory, ringOffset + number * ring.slotBytes, ring.slotBytes));
    this.home = { thread, ring: this.ring, ringMemory, ringOffset, uuid };
  }

  /** @throws NoCudaDriverError, CudaError, InvalidArgumentError */
  static async open(options: CudaDeviceOptions = {}): Promise<CudaDevice> {
    const { ordinal = 0, capacityBytes, sharing, readBack = false } = options;
    if (!Number.isSafeInteger(ordinal) || ordinal < 0) throw new InvalidArgumentError(`no device cuda:${ordinal}`, 'count from cuda:0');
    const ring = { slots: options.ring?.slots ?? DEFAULT_SLOTS, slotBytes: options.ring?.slotBytes ?? DEFAULT_SLOT_BYTES };
    for (const [name, value] of Object.entries(ring))
      if (!Number.isSafeInteger(value) || value < 1)
        throw new InvalidArgumentError(`a ring whose ${name} is ${value}`, 'give a whole number from 1 on');
    const environment = process.env['CAIRN_GPU_LIBCUDA'];
    const ringBytes = ring.slots * ring.slotBytes;
    const ringMemory = new SharedArrayBuffer(ringBytes + PAGE_BYTES);
    const started = await CudaThread.start({
      ordinal,
      driverPath: options.driverPath ?? (environment === '' ? undefined : environment),
      sharing,
      ring: ringMemory,
      ringBytes,
      readBack,
    });
    return new CudaDevice(`cuda:${ordinal}`, capacityBytes, ring, ringMemory, started);
  }

  async allocate(sizeBytes: number, { signal }: Pick<Work, 'signal'> = {}): Promise<CudaRegion> {
    signal?.throwIfAborted();
    return this.take(sizeBytes, async () => {
      try {
        return await this.thread.request('allocate', { sizeBytes });
      } catch (error) {
        if (!(error instanceof CudaError) || error.result !== RESULT.outOfMemory) throw error;
        throw new OutOfMemoryError(sizeBytes, `${this.id} has no ${sizeBytes} bytes left: ${error.call} says ${error.resultName}`);
      }
    });
  }

  /**
   * Memory that another process made and exported as a descriptor, which stays the caller's: mapped for writing until it is freed. It
   * has to be as many whole granules as `sizeBytes` take.
   */
  async adopt(descriptor: number, sizeBytes: number): Promise<CudaRegion> {
    if (this.found.sharing !== 'vmm')
      throw new InvalidArgumentError(
        `${this.id} cannot fill memory of others`,
        'it has no virtual memory management: let the daemon own the memory',
      );
    return new CudaRegion(
      this.home,
      sizeBytes,
      sizeBytes === 0 ? undefined : await this.thread.request('adopt', { descriptor, sizeBytes }),
    );
  }

  free(region: Region): void {
    const mine = region as CudaRegion;
    // Adopted memory is not counted, but let go all the same.
    this.allocated.delete(mine);
    mine.withdraw();
    if (mine.memory === undefined || mine.isFreed) return;
    mine.isFreed = true;
    // What the driver refuses to take back is tried again with the next one, and shows as lingering.
    if (this.closing === undefined) this.thread.request('free', { memory: mine.memory }).catch(() => undefined);
  }

  info(): DeviceInfo {
    const { name, uuid, driverVersion, sharing, granularityBytes } = this.found;
    return {
      id: this.id,
      backing: `cuda-${sharing}`,
      allocatedBytes: this.allocatedBytes,
      reusableBytes: 0,
      lingeringBytes: this.thread.unreleasedBytes,
      capacityBytes: this.capacityBytes,
      cuda: { name, uuid, driverVersion, granularityBytes },
    };
  }

  /** What the device as a whole has, other processes counted. */
  memory(): Promise<{ freeBytes: number; totalBytes: number }> {
    return this.thread.request('memory', {});
  }

  close(): Promise<void> {
    return (this.closing ??= (async () => {
      for (const region of this.allocated) region.withdraw();
      this.allocated.clear();
      await this.thread.close();
    })());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private get allocatedBytes(): number {
    let bytes = 0;
    for (const { mappedBytes } of this.allocated) bytes += mappedBytes;
    return bytes;
  }

  /** Within the capacity, memory that is being allocated counted. */
  private async take(sizeBytes: number, make: () => Promise<{ memory: number; mappedBytes: number }>): Promise<CudaRegion> {
    const { granularityBytes } = this.found;
    const neededBytes = Math.ceil(sizeBytes / granularityBytes) * granularityBytes;
    if (neededBytes > this.capacityBytes) throw new ModelTooLargeError(neededBytes, this.capacityBytes);
    const excess = this.allocatedBytes + this.comingBytes + neededBytes - this.capacityBytes;
    if (excess > 0)
      throw new OutOfMemoryError(
        sizeBytes,
        `${sizeBytes} bytes do not fit on ${this.id}: ${excess} of ${this.capacityBytes} are missing, the rest is in use`,
      );
    this.comingBytes += neededBytes;
    try {
      const region = new CudaRegion(this.home, sizeBytes, sizeBytes === 0 ? undefined : await make());
      this.allocated.add(region);
      return region;
    } finally {
      this.comingBytes -= neededBytes;
    }
  }
}
