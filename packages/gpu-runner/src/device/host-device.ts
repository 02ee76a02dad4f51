import fs from 'node:fs';
import os from 'node:os';
import type { Work } from '@cairn/core';
import { deviceError, ModelTooLargeError, OutOfMemoryError } from '../errors.js';
import type { Device, DeviceInfo, Region } from './device.js';
import { HostRegion } from './host-region.js';
import * as libc from './libc.js';
import { createMemfd, createUnlinked, hasMemfd } from './memory-file.js';

export interface HostDeviceOptions {
  /** The most memory that regions take together, those kept for reuse included. Default: half of the machine's. */
  capacityBytes?: number;
  /** `memfd`: anonymous and sealed. `shm`: unlinked files in `shmDir`. Default: `memfd` where the kernel has it. */
  backing?: 'memfd' | 'shm';
  /** Default `/dev/shm`. */
  shmDir?: string;
}

/**
 * Host memory that other processes open or map by descriptor. Freed regions are kept and given out again, since the first touch
 * of fresh pages takes twenty times as long as filling touched ones; but only once no process has them open any more.
 */
export class HostDevice implements Device {
  readonly id = 'host';
  readonly capacityBytes: number;
  private readonly backing: 'memfd' | 'shm';
  private readonly shmDir: string;
  private readonly allocated = new Set<HostRegion>();
  /** Freed; oldest first. Some may still be open elsewhere. */
  private retired: HostRegion[] = [];
  /** Bytes of allocations that are being made. */
  private comingBytes = 0;

  constructor(options: HostDeviceOptions = {}) {
    this.capacityBytes = options.capacityBytes ?? Math.floor(os.totalmem() / 2);
    this.shmDir = options.shmDir ?? '/dev/shm';
    this.backing = options.backing ?? (hasMemfd() ? 'memfd' : 'shm');
  }

  async allocate(sizeBytes: number, { signal }: Pick<Work, 'signal'> = {}): Promise<Region> {
    signal?.throwIfAborted();
    const known = this.retired.findIndex((region) => region.sizeBytes === sizeBytes && sizeBytes > 0 && region.isExclusive());
    if (known >= 0) {
      const [region] = this.retired.splice(known, 1) as [HostRegion];
      this.allocated.add(region);
      return region;
    }
    this.makeRoom(sizeBytes);
    this.comingBytes += sizeBytes;
    try {
      const region = await this.create(sizeBytes);
      this.allocated.add(region);
      return region;
    } finally {
      this.comingBytes -= sizeBytes;
    }
  }

  free(region: Region): void {
    const mine = region as HostRegion;
    if (!this.allocated.delete(mine)) return;
    mine.withdraw();
    if (mine.sizeBytes === 0) mine.release();
    else this.retired.push(mine);
  }

  info(): DeviceInfo {
    const exclusive = this.retired.filter((region) => region.isExclusive());
    const reusableBytes = sum(exclusive);
    return {
      id: this.id,
      backing: this.backing,
      allocatedBytes: sum(this.allocated),
      reusableBytes,
      lingeringBytes: sum(this.retired) - reusableBytes,
      capacityBytes: this.capacityBytes,
    };
  }

  async close(): Promise<void> {
    for (const region of [...this.allocated, ...this.retired]) region.release();
    this.allocated.clear();
    this.retired = [];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Gives memory that is kept for reuse back to the system until a new region fits. */
  private makeRoom(sizeBytes: number): void {
    if (sizeBytes > this.capacityBytes) throw new ModelTooLargeError(sizeBytes, this.capacityBytes);
    const excess = (): number => this.comingBytes + sum(this.allocated) + sum(this.retired) + sizeBytes - this.capacityBytes;
    for (const region of [...this.retired]) {
      if (excess() <= 0) return;
      // Memory that others have open is theirs to keep, and counts as long as they do.
      if (!region.isExclusive()) continue;
      region.release();
      this.retired.splice(this.retired.indexOf(region), 1);
    }
    if (excess() > 0)
      throw new OutOfMemoryError(
        sizeBytes,
        `${sizeBytes} bytes do not fit: ${excess()} of ${this.capacityBytes} are missing, the rest is in use`,
      );
  }

  private async create(sizeBytes: number): Promise<HostRegion> {
    const descriptor = this.backing === 'memfd' ? createMemfd('cairn') : createUnlinked(this.shmDir);
    try {
      let address: bigint | undefined;
      if (sizeBytes > 0) {
        if (sizeBytes > availableBytes()) throw machineFull(sizeBytes);
        const errno = await libc.reserve(descriptor, sizeBytes);
        if (errno === libc.ENOSPC || errno === libc.ENOMEM) throw machineFull(sizeBytes);
        if (errno !== 0) throw deviceError(`reserving ${sizeBytes} bytes`, errno);
        address = await libc.mapFile(descriptor, sizeBytes);
      }
      return new HostRegion({ descriptor, address, sizeBytes, sealable: this.backing === 'memfd' });
    } catch (error) {
      fs.closeSync(descriptor);
      throw error;
    }
  }
}

function machineFull(sizeBytes: number): OutOfMemoryError {
  return new OutOfMemoryError(sizeBytes, `the machine has no ${sizeBytes} bytes of memory left to share`);
}

/** What can be had before the kernel would have to end some process to give more. */
function availableBytes(): number {
  const found = /^MemAvailable:\s+(\d+) kB/m.exec(fs.readFileSync('/proc/meminfo', 'latin1'))?.[1];
  return found === undefined ? Infinity : Number(found) * 1024;
}

function sum(regions: Iterable<HostRegion>): number {
  let bytes = 0;
  for (const region of regions) bytes += region.sizeBytes;
  return bytes;
}
