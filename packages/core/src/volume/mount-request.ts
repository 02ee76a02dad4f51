import type { VolumeId } from '../index/records.js';
import type { MountOptions } from '../types.js';
import type { Point } from './commit.js';

/** What a handle gives to be mounted. */
export interface MountRequest {
  volumeId: VolumeId;
  volumeName: string;
  /** Whether the handle may not change its volume. */
  readOnly: boolean;
  /** What a folder that is no mount yet is to hold. */
  at: Point;
  dir: string;
  options: MountOptions;
}
