import { wrapIoError } from '../errors.js';
import type { Disk, DiskSpec } from './disk.js';
import { NodeDisk } from './node-disk.js';
import { reads, type Reads } from './reads.js';

/**
 * Default export of a `DiskSpec.module`. It gets `wrapIoError` too, to raise the errors that a real disk would, and the calls by which
 * the thread reads, to put others in their place.
 */
export type DiskModule = (inner: Disk, options: unknown, wrap: typeof wrapIoError, reads: Reads) => Disk;

export async function openDisk(spec: DiskSpec): Promise<Disk> {
  const disk = new NodeDisk(spec.durable);
  if (spec.module === undefined) return disk;
  const loaded = (await import(spec.module)) as { default: DiskModule };
  return loaded.default(disk, spec.options, wrapIoError, reads);
}
