import type { SnapshotId } from '@cairn/core';
import type { PlannedFile, PlannedTensor } from '../plan/load-plan.js';
import type { Lease } from '../registry/registry.js';

/** Version of manifest and messages. A change that an old consumer would misread makes a new one. */
export const PROTOCOL_VERSION = 1;

/** What a consumer gets to know about a loaded model; one JSON object. Paths and names are the volume's. */
export interface Manifest {
  cairn: typeof PROTOCOL_VERSION;
  volume: string;
  path: string;
  snapshot: SnapshotId;
  /** Equal keys are equal bytes in equal places. */
  key: string;
  device: string;
  /** Memory to open or map for reading; in the order of the descriptors where those were sent or inherited. */
  regions: ManifestRegion[];
  files: PlannedFile[];
  tensors: PlannedTensor[];
}

export interface ManifestRegion {
  size: number;
  /** Opens the memory as a file: `/proc/PID/fd/N` of the daemon while the lease lasts, `/proc/self/fd/N` where it was inherited. */
  path: string;
}

/** Where a model comes from. */
export interface ModelOrigin {
  volume: string;
  path: string;
  snapshot: SnapshotId;
}

/** @param pathOf names a region's memory, given its number and the descriptor of this process */
export function manifestOf(
  origin: ModelOrigin,
  device: string,
  lease: Lease,
  pathOf: (region: number, descriptor: number) => string,
): Manifest {
  return {
    cairn: PROTOCOL_VERSION,
    ...origin,
    key: lease.key,
    device,
    regions: lease.regions.map((region, i) => ({ size: region.sizeBytes, path: pathOf(i, region.export().descriptor) })),
    files: lease.plan.files,
    tensors: lease.plan.tensors,
  };
}
