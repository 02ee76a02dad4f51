import type { LoadMetrics } from '../load/metrics.js';

/** What is loaded, and how much use it has had. */
export interface ModelStatus {
  key: string;
  lineage?: string;
  state: 'loading' | 'ready';
  bytes: number;
  users: number;
}

/** Counters since the start. */
export interface RegistryCounters {
  loads: number;
  /** In place. */
  updates: number;
  /** Requests that found their model there or on its way. */
  hits: number;
  evictions: number;
  failures: number;
  /** Times that memory of others was filled. */
  fills: number;
  /** What loads spent on each stage, summed over what ran side by side; `stall` is waiting for a free slot. */
  stageMs: { allocate: number; read: number; copy: number; stall: number };
  stalls: number;
  readBytes: number;
  reusedBytes: number;
  copiedBytes: number;
}

export function noCounts(): RegistryCounters {
  return {
    loads: 0,
    updates: 0,
    hits: 0,
    evictions: 0,
    failures: 0,
    fills: 0,
    stageMs: { allocate: 0, read: 0, copy: 0, stall: 0 },
    stalls: 0,
    readBytes: 0,
    reusedBytes: 0,
    copiedBytes: 0,
  };
}

/** Adds what a load did. */
export function countLoad(counters: RegistryCounters, metrics: LoadMetrics): void {
  counters.readBytes += metrics.readBytes;
  counters.reusedBytes += metrics.reusedBytes;
  counters.copiedBytes += metrics.copiedBytes;
  counters.stalls += metrics.stalls;
  counters.stageMs.allocate += metrics.allocateMs;
  counters.stageMs.read += metrics.readMs;
  counters.stageMs.copy += metrics.copyMs;
  counters.stageMs.stall += metrics.stallMs;
}
