import type { Work } from '@cairn/core';

/**
 * Memory that inference processes can use. Implementations: `HostDevice`; in tests, one whose memory is reached through staging
 * only.
 */
export interface Device extends AsyncDisposable {
  /** Part of what makes two loads the same: `host`, `cuda:0`. */
  readonly id: string;
  /** Memory with arbitrary content. @throws OutOfMemoryError */
  allocate(sizeBytes: number, options?: Pick<Work, 'signal'>): Promise<Region>;
  /** Gives a region back. Whoever has it open keeps it; it is used again when nobody has. No copy may be under way. */
  free(region: Region): void;
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
  /** Copies within the device, from another region of it. */
  copyFrom(source: Region, sourceOffset: number, offset: number, length: number): Promise<void>;
  /** The memory itself, where this process can reach it; at most 1 GiB at a time. Not to be touched after `free`. */
  window?(offset: number, length: number): Uint8Array;
  /** From here on nobody can change it: not those it is handed to, and not by mistake this process. */
  seal(): Promise<void>;
  /** A handle for other processes, which cannot write through it. Stays open until the region is freed. */
  export(): RegionExport;
}

/** `descriptor`: a file descriptor of this process, to be inherited, sent, or opened through `/proc`. */
export interface RegionExport {
  kind: 'descriptor';
  descriptor: number;
}

/** Bytes. */
export interface DeviceInfo {
  id: string;
  /** How the memory is had: `memfd` or `shm` for host memory. */
  backing: string;
  /** Regions that were allocated and not freed. */
  allocatedBytes: number;
  /** Freed, and kept for the next allocation of the same size. */
  reusableBytes: number;
  /** Freed, but still open in some process. */
  lingeringBytes: number;
  capacityBytes: number;
}
