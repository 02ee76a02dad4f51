import type { ReadView } from '@cairn/core';
import type { Device, Region } from '../device/device.js';
import { Filling } from './filling.js';
import type { LoadJob, LoadOptions } from './job.js';
import { emptyMetrics, timed, type LoadMetrics } from './metrics.js';

export interface LoadedRegions {
  regions: Region[];
  metrics: LoadMetrics;
}

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
    await new Filling(view, regions, metrics, device, options).run(job);
    for (const region of regions) await region.seal();
  } catch (error) {
    for (const region of regions) device.free(region);
    throw error;
  }
  metrics.elapsedMs = performance.now() - start;
  return { regions, metrics };
}

/** Fills regions that are there already, and stay the caller's: they are neither sealed nor freed. */
export async function fillRegions(
  view: ReadView,
  job: LoadJob,
  regions: readonly Region[],
  device: Device,
  options: LoadOptions = {},
): Promise<LoadMetrics> {
  const start = performance.now();
  const metrics = emptyMetrics(job.regionBytes.reduce((sum, bytes) => sum + bytes, 0));
  await new Filling(view, regions, metrics, device, options).run(job);
  metrics.elapsedMs = performance.now() - start;
  return metrics;
}
