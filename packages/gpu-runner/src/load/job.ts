import type { Work } from '@cairn/core';
import type { Region } from '../device/device.js';
import type { SlotRingOptions } from '../device/slot-ring.js';
import type { PlannedRead } from '../plan/load-plan.js';

/** Bytes that are in memory already, of an earlier load. */
export interface RegionCopy {
  source: Region;
  sourceOffset: number;
  region: number;
  offset: number;
  bytes: number;
}

/** Everything that fills a set of regions. */
export interface LoadJob {
  regionBytes: readonly number[];
  reads: readonly PlannedRead[];
  copies?: readonly RegionCopy[];
  /** So many bytes are where they belong already, and nothing is touched but what `reads` fill. */
  keptBytes?: number;
}

export interface LoadOptions extends Work {
  /** Check every chunk's digest on the way. Default: as the store was opened. */
  verify?: boolean;
  /** Of buffers for a device that has none of its own. */
  ring?: SlotRingOptions;
}
