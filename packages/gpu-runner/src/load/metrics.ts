/** What a load did and where its time went. Milliseconds overlap: stages run side by side. */
export interface LoadMetrics {
  /** Of the whole plan. */
  totalBytes: number;
  /** Read from the store, decoded and verified. */
  readBytes: number;
  /** Taken over from memory that was loaded before. */
  reusedBytes: number;
  /** Copied into the device, from slots and from memory that was loaded before; not what the store read straight into it, or what was there. */
  copiedBytes: number;
  elapsedMs: number;
  /** Allocating device memory. */
  allocateMs: number;
  /** Waiting for reads of the store, summed over what ran side by side. */
  readMs: number;
  /** Copies into the device, summed likewise. */
  copyMs: number;
  /** How often reading had to wait for a free slot, and how long. */
  stalls: number;
  stallMs: number;
}

export function emptyMetrics(totalBytes: number): LoadMetrics {
  const stages = { allocateMs: 0, readMs: 0, copyMs: 0, stalls: 0, stallMs: 0 };
  return { totalBytes, readBytes: 0, reusedBytes: 0, copiedBytes: 0, elapsedMs: 0, ...stages };
}

/** Runs `work`, and adds the time that it takes. */
export async function timed<T>(
  metrics: LoadMetrics,
  field: 'allocateMs' | 'readMs' | 'copyMs' | 'stallMs',
  work: () => Promise<T>,
): Promise<T> {
  const start = performance.now();
  try {
    return await work();
  } finally {
    metrics[field] += performance.now() - start;
  }
}

/** Bytes per second of each stage while it was at work: reading from the store, and copying into the device. 0 where there was nothing to do. */
export function stageRates({ readBytes, readMs, copiedBytes, copyMs }: LoadMetrics): { read: number; copy: number } {
  const rate = (bytes: number, ms: number): number => (ms === 0 ? 0 : (bytes / ms) * 1000);
  return { read: rate(readBytes, readMs), copy: rate(copiedBytes, copyMs) };
}

/** Bytes per second of a load as a whole. */
export function bytesPerSecond({ totalBytes, elapsedMs }: LoadMetrics): number {
  return elapsedMs === 0 ? 0 : (totalBytes / elapsedMs) * 1000;
}
