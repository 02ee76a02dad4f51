import type { SnapshotId } from '@cairn/core';
import type { RegionExport } from '../device/device.js';
import { GpuError } from '../errors.js';
import type { LoadPlan, PlannedFile, PlannedTensor } from '../plan/load-plan.js';
import type { Lease } from '../registry/lease.js';

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

/** Memory of the host has a `path`; memory of a GPU has `cuda`; 0 bytes of a GPU have neither. */
export interface ManifestRegion {
  size: number;
  /** Opens the memory as a file: `/proc/PID/fd/N` of the daemon while the lease lasts, `/proc/self/fd/N` where it was inherited. */
  path?: string;
  cuda?: CudaManifestRegion;
}

/** How to map a region of GPU memory; `uuid` says on which device. */
export type CudaManifestRegion = {
  /** What to reserve and map: whole granules, of which the first `size` bytes are the region. */
  allocationSize: number;
  uuid: string;
} & (
  | {
      sharing: 'vmm';
      /** Which of the descriptors that were sent, from 0; where they were inherited, the descriptor itself. */
      descriptor: number;
    }
  | {
      sharing: 'ipc';
      /** CUipcMemHandle in hexadecimal. Good while the lease lasts. */
      handle: string;
    }
);

/** Where a model comes from. */
export interface ModelOrigin {
  volume: string;
  path: string;
  snapshot: SnapshotId;
}

/** @param pathOf names a region of host memory, given its descriptor in this process */
export function manifestOf(origin: ModelOrigin, device: string, lease: Lease, pathOf: (descriptor: number) => string): Manifest {
  let sent = 0;
  const place = (size: number, exported: RegionExport): ManifestRegion => {
    switch (exported.kind) {
      case 'descriptor':
        return { size, path: pathOf(exported.descriptor) };
      case 'cuda-vmm':
        return { size, cuda: { sharing: 'vmm', descriptor: sent++, allocationSize: exported.allocationBytes, uuid: exported.uuid } };
      case 'cuda-ipc':
        return { size, cuda: { sharing: 'ipc', handle: exported.handle, allocationSize: exported.allocationBytes, uuid: exported.uuid } };
      case 'none':
        return { size };
    }
  };
  return {
    cairn: PROTOCOL_VERSION,
    ...origin,
    key: lease.key,
    device,
    regions: lease.regions.map((region) => place(region.sizeBytes, region.export())),
    files: lease.plan.files,
    tensors: lease.plan.tensors,
  };
}

/** By list of tensors, which is the plan's and never changes. */
const listTexts = new WeakMap<readonly PlannedTensor[], string>();

/** A manifest as JSON. What of it is large, files and tensors, is written once for each plan: for a thousand tensors that takes milliseconds. */
export function manifestText({ files, tensors, ...rest }: Manifest): string {
  let lists = listTexts.get(tensors);
  if (lists === undefined) listTexts.set(tensors, (lists = JSON.stringify({ files, tensors })));
  return `${JSON.stringify(rest).slice(0, -1)},${lists.slice(1)}`;
}

/** A manifest of memory that is not there yet. */
export function plannedManifest(origin: ModelOrigin, device: string, plan: LoadPlan): Manifest {
  const { key, regionBytes, files, tensors } = plan;
  return { cairn: PROTOCOL_VERSION, ...origin, key, device, regions: regionBytes.map((size) => ({ size })), files, tensors };
}

/** What goes with a manifest: in the order in which its regions count them. */
export function descriptorsOf({ regions }: Lease): number[] {
  return regions.flatMap((region) => {
    const exported = region.export();
    return 'descriptor' in exported ? [exported.descriptor] : [];
  });
}

/** @throws GpuError when the region is no file, but memory of a GPU */
export function hostPathOf({ path }: ManifestRegion): string {
  if (path === undefined)
    throw new GpuError('CAIRN_GPU_DEVICE', 'the model is in the memory of a GPU, which cannot be opened as a file', {
      hint: 'map it with the CUDA driver API, as examples/gpu-consumers does, or serve it from the host',
    });
  return path;
}
