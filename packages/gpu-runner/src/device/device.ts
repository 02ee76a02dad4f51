import type { Work } from '@cairn/core';
import type { SlotRing } from './slot-ring.js';

/**
 * Memory that inference processes can use. Implementations: `HostDevice`, `CudaDevice`; in tests, one whose memory is
 * reached through staging only.
 */
export interface Device extends AsyncDisposable {
  /** Part of what makes two loads the same: `host`, `cuda:0`. */
  readonly id: string;
  /** Buffers from which copies are fastest, shared by all loads; where it is missing each load has its own. */
  readonly ring?: SlotRing;
  /** Memory with arbitrary content. @throws OutOfMemoryError */
  allocate(sizeBytes: number, options?: Pick<Work, 'signal'>): Promise<Region>;
  /** Gives a region back. Whoever has it open keeps it; it is used again when nobody has. No copy may be under way. */
  free(region: Region): void;
  /** Memory that another process made, as a region to be filled and freed; the descriptor stays the caller's. @throws GpuError */
  adopt?(descriptor: number, sizeBytes: number): Promise<Region>;
  info(): DeviceInfo;
  /** Frees everything. Idempotent. */
  close(): Promise<void>;
}

/** One piece of device memory, which is filled, sealed, then handed to other processes. */
export interface Region {
  readonly sizeBytes: number;
  /** Whether the content is arbitrary; otherwise it is zeros. */
  readonly dirty: boolean;
  /** Resolves when the device has the bytes: `source` is the caller's again. Copies to one region arrive in order. */
  copyIn(offset: number, source: Uint8Array): Promise<void>;
  /** Zeros, made by the device itself. */
  clear?(offset: number, length: number): Promise<void>;
  /** Copies within the device, from another region of it. */
  copyFrom(source: Region, sourceOffset: number, offset: number, length: number): Promise<void>;
  /** The memory itself, where this process can reach it; at most 1 GiB at a time. Not to be touched after `free`. */
  window?(offset: number, length: number): Uint8Array;
  /** From here on nobody can change it: not those it is handed to, and not by mistake this process. */
  seal(): Promise<void>;
  /** A handle for other processes, which cannot write through it. Stays open until the region is freed. */
  export(): RegionExport;
}

/**
 * - `descriptor`: of a file, to be inherited, sent, or opened through `/proc`.
 * - `cuda-vmm`: a descriptor, to be inherited or sent, for `cuMemImportFromShareableHandle`; `/proc` does not open it.
 * - `cuda-ipc`: 64 bytes in hexadecimal, for `cuIpcOpenMemHandle`.
 * - `none`: 0 bytes, of a device that has no such memory.
 */
export type RegionExport =
  | { kind: 'descriptor'; descriptor: number }
  | ({ kind: 'cuda-vmm'; descriptor: number } & CudaPlace)
  | ({ kind: 'cuda-ipc'; handle: string } & CudaPlace)
  | { kind: 'none' };

/** Which GPU, and how much to map of it. */
export interface CudaPlace {
  allocationBytes: number;
  /** As nvidia-smi writes it: `GPU-…`. */
  uuid: string;
}

/** Bytes. */
export interface DeviceInfo {
  id: string;
  /** How the memory is had: `memfd` or `shm` for host memory, `cuda-vmm` or `cuda-ipc` for a GPU's. */
  backing: string;
  /** Regions that were allocated and not freed. */
  allocatedBytes: number;
  /** Freed, and kept for the next allocation of the same size. */
  reusableBytes: number;
  /** Freed, but still open in some process, or refused by the driver. What others have mapped of a GPU's memory cannot be seen. */
  lingeringBytes: number;
  capacityBytes: number;
  cuda?: CudaInfo;
}

/** A GPU as its driver describes it. */
export interface CudaInfo {
  name: string;
  uuid: string;
  /** 13000 is CUDA 13.0. */
  driverVersion: number;
  /** Memory comes in multiples of this. */
  granularityBytes: number;
}
