import type { Disk } from '../../packages/core/src/disk/disk.js';
import type { DiskModule } from '../../packages/core/src/disk/open-disk.js';

export declare const KINDS: readonly string[];
export declare const READS: readonly string[];
export interface FaultyDiskOptions {
  failAt?: number;
  kinds?: readonly string[];
  error?: 'EIO' | 'ENOSPC' | 'EMFILE' | 'short' | 'kill' | 'tear' | 'lost';
  times?: number;
  persistent?: boolean;
  broken?: SharedArrayBuffer;
  counter?: SharedArrayBuffer;
  counterFile?: string;
  leases?: 'only';
}
declare const faultyDisk: (
  inner: Disk,
  options: FaultyDiskOptions,
  wrap: Parameters<DiskModule>[2],
  reads: Parameters<DiskModule>[3],
) => Disk;
export default faultyDisk;
