import type { Region } from '../device/device.js';
import type { LoadMetrics } from '../load/metrics.js';
import type { LoadPlan } from '../plan/load-plan.js';
import type { Entry, Loaded } from './entry.js';

/** The right to use a loaded model. Its memory stays as it is until the last lease is released. */
export interface Lease extends Disposable {
  /** Known by content: equal keys are the same memory. */
  readonly key: string;
  /** As this caller asked for it; others may know the same bytes by other names. */
  readonly plan: LoadPlan;
  readonly regions: readonly Region[];
  /** Of the load that brought the bytes here, whoever asked for it first. */
  readonly metrics: LoadMetrics;
  /** Whether the model was there, or on its way, before. */
  readonly shared: boolean;
  /** Whether it has not been released, nor used up by an update. */
  readonly held: boolean;
  /** Idempotent. */
  release(): void;
}

/** What a lease keeps, while it does. */
export interface Holding {
  entry: Entry;
  held: boolean;
}

/** @param options `release` runs once, unless the lease is used up before */
export function leaseOn(
  entry: Entry,
  plan: LoadPlan,
  { regions, metrics }: Loaded,
  options: { shared: boolean; release: () => void },
): { lease: Lease; holding: Holding } {
  const holding: Holding = { entry, held: true };
  const release = (): void => {
    if (!holding.held) return;
    holding.held = false;
    options.release();
  };
  const lease: Lease = {
    key: entry.key,
    plan,
    regions,
    metrics,
    shared: options.shared,
    get held() {
      return holding.held;
    },
    release,
    [Symbol.dispose]: release,
  };
  return { lease, holding };
}
