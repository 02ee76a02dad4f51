import type { Region } from '../device/device.js';
import type { LoadMetrics } from '../load/metrics.js';
import type { LoadPlan } from '../plan/load-plan.js';
import type { InventoryItem } from './inventory.js';

/** One model in device memory, or on its way there. */
export interface Entry {
  key: string;
  plan: LoadPlan;
  /** Names what this is a version of; newer versions take over what they can. */
  lineage: string | undefined;
  /** Leases, callers that wait for the load, and loads that copy from it. Not evicted while there are any. */
  users: number;
  /** Settles with the load. */
  loaded: Promise<Loaded>;
  /** Set once it is loaded. */
  result: Loaded | undefined;
  /** Counts uses, to find the least recent. */
  lastUse: number;
  abort: AbortController;
  /** Whether a newer version has come: it goes with its last user. */
  superseded: boolean;
}

export interface Loaded {
  regions: Region[];
  metrics: LoadMetrics;
  inventory: InventoryItem[];
}
