import { listMounts, mountRoots } from '../../mount/roots.js';
import { listLeases } from '../../publish/leases.js';
import type { CollectParts, Pauses } from './parts.js';

/** Packs whose files are deleted in one step. */
const SWEEP_PACKS = 32;

/**
 * Deletes condemned packs that nobody can need any more, and what earlier collections had to leave. Returns the bytes that are free. A
 * mount whose state cannot be read may need any of the former: they wait.
 */
export async function deleteCondemned({ publisher, layout, mountsDir, hasher }: CollectParts, pauses: Pauses): Promise<number> {
  const before = listLeases(layout);
  const mounts = listMounts(mountsDir, hasher);
  if (mounts.unreadable.length === 0) await publisher.doom({ before, roots: mountRoots(mounts) });
  let freed = 0;
  for (let left = true; left;) {
    const step = await publisher.sweep(SWEEP_PACKS);
    freed += step.freed;
    left = step.left;
    await pauses.take();
  }
  return freed;
}
