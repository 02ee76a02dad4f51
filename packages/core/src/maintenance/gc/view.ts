import type { IndexReader } from '../../index/reader.js';
import { type KnownMounts, listMounts } from '../../mount/roots.js';
import { foreseeClearingUp } from '../../publish/foresee.js';
import { type Leases, listLeases } from '../../publish/leases.js';
import type { CollectParts, Pauses } from './parts.js';

/** What a collection looks at: a store as it is, or as it would be when one has begun. */
export interface View {
  readonly index: IndexReader;
  leases(): Leases;
  mounts(): KnownMounts;
}

/** What is given up before a collection, since somebody says that its owner is gone. */
export interface GivenUp {
  lease?: string | undefined;
  mount?: string | undefined;
}

/** The store as it is. */
export function viewOf({ index, layout, mountsDir, hasher }: CollectParts): View {
  return {
    index,
    leases: () => listLeases(layout),
    mounts: () => listMounts(mountsDir, hasher),
  };
}

/**
 * The store as it would be for a collection that begins now. Nothing is changed for it.
 * @param given `since`: the change from which on this engine's lease would protect what is removed, unless there is none that is so new
 */
export async function foreseenView(
  parts: CollectParts,
  { since: letGo, ...given }: GivenUp & { since: number },
  pauses: Pauses,
): Promise<View> {
  const { layout, mountsDir, hasher, lease } = parts;
  const left = (): Leases => withoutLease(listLeases(layout), given.lease);
  const index = await foreseeClearingUp(parts, left, () => (pauses.isDue() ? pauses.take() : Promise.resolve()));
  const since = Math.min(letGo, index.state().seq);
  return {
    index,
    leases() {
      const { alive, ...others } = left();
      return { ...others, alive: alive.map((one) => (one.id === lease.id ? { ...one, since } : one)) };
    },
    mounts() {
      const { states, unreadable } = listMounts(mountsDir, hasher);
      return { states: states.filter(({ id }) => id !== given.mount), unreadable: unreadable.filter(({ id }) => id !== given.mount) };
    },
  };
}

function withoutLease({ alive, dead, unreadable }: Leases, id: string | undefined): Leases {
  return { alive: alive.filter((lease) => lease.id !== id), dead, unreadable: unreadable.filter((other) => other !== id) };
}
