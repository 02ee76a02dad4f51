import type { Digest } from '../hash/digest.js';
import { diffManifests } from '../manifest/diff.js';
import { sameRoot, type ManifestRoot } from '../manifest/entry.js';
import { isFileAgainstFolder, type MergeConflict, mergeManifests, type Resolution } from '../manifest/merge.js';
import type { NodeSink, NodeSource } from '../objects/node-store.js';
import type { CommitOrder } from './messages.js';

/** Differences, on either side, from which on a merge is done before the lock is taken. */
const LARGE_MERGE = 20_000;

/** What a commit wants to publish: a tree, what it was made on, and what it has overwritten so far. */
export interface Proposal {
  readonly base: ManifestRoot;
  readonly ours: ManifestRoot;
  readonly overwritten: readonly string[];
}

/** A proposal moved onto another head, or the paths that forbid it. */
export type Rebased = { proposal: Proposal; conflicts?: undefined } | { conflicts: string[] };

/** The same proposal with `head` as its base. */
export function rebase(nodes: NodeSource & NodeSink, proposal: Proposal, head: ManifestRoot, order: CommitOrder): Rebased {
  const { base, ours, overwritten } = proposal;
  if (sameRoot(base, head)) return { proposal };
  const merged = mergeManifests(nodes, nodes, { base, ours, theirs: head }, (conflict) => resolve(conflict, order));
  if (merged.conflicts.length > 0) return { conflicts: merged.conflicts };
  return { proposal: { base: head, ours: merged.root, overwritten: [...overwritten, ...merged.overwritten] } };
}

export function isLargeMerge(nodes: NodeSource, proposal: Proposal, head: Digest | null): boolean {
  if (sameRoot(proposal.base, head)) return false;
  return hasMore(diffManifests(nodes, proposal.base, head)) || hasMore(diffManifests(nodes, proposal.base, proposal.ours));
}

function hasMore(changes: Iterable<unknown>): boolean {
  let count = 0;
  for (const _change of changes) if (++count > LARGE_MERGE) return true;
  return false;
}

function resolve(conflict: MergeConflict, order: CommitOrder): Resolution {
  if (order.policy !== 'last-write-wins' || (order.refuseFileOverFolder && isFileAgainstFolder(conflict))) return 'conflict';
  return 'ours';
}
