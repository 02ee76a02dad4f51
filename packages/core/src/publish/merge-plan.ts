import { diffManifests, type ManifestChange } from '../manifest/diff.js';
import { sameRoot, type ManifestRoot } from '../manifest/entry.js';
import { FEW_CHANGES, isFileAgainstFolder, type MergeConflict, mergeIfSmall, type Resolution, upTo } from '../manifest/merge.js';
import type { NodeSink, NodeSource } from '../objects/node-store.js';
import type { CommitOrder } from './messages.js';

/** Differences, on either side, from which on a merge is done before the lock is taken. */
export const LARGE_MERGE = 20_000;

/** What a commit wants to publish: a tree, what it was made on, and what it has overwritten so far. */
export interface Proposal {
  readonly base: ManifestRoot;
  readonly ours: ManifestRoot;
  readonly overwritten: readonly string[];
  /** What it changes, when that is little. */
  readonly changes?: readonly ManifestChange[] | undefined;
}

/** A proposal moved onto another head, or the paths that forbid it. */
export type Rebased = { proposal: Proposal; conflicts?: undefined } | { conflicts: string[] };

/** The same proposal with `head` as its base; undefined when more than `maxChanges` would have to be looked at. */
export function rebase(
  nodes: NodeSource & NodeSink,
  proposal: Proposal,
  head: ManifestRoot,
  order: CommitOrder,
  maxChanges: number,
): Rebased | undefined {
  const { base, ours, overwritten, changes } = proposal;
  if (sameRoot(base, head)) return { proposal };
  const merged = mergeIfSmall(nodes, nodes, { base, ours, theirs: head }, (conflict) => resolve(conflict, order), maxChanges, changes);
  if (merged === undefined) return undefined;
  if (merged.conflicts.length > 0) return { conflicts: merged.conflicts };
  return { proposal: { base: head, ours: merged.root, overwritten: [...overwritten, ...merged.overwritten] } };
}

/** What a proposal changes, when that is so little that it can be merged under the lock, however far the head has moved. */
export function fewChanges(nodes: NodeSource, base: ManifestRoot, ours: ManifestRoot): ManifestChange[] | undefined {
  return upTo(FEW_CHANGES, diffManifests(nodes, base, ours));
}

function resolve(conflict: MergeConflict, order: CommitOrder): Resolution {
  if (order.policy !== 'last-write-wins' || (order.refuseFileOverFolder && isFileAgainstFolder(conflict))) return 'conflict';
  return 'ours';
}
