import type { NodeSink, NodeSource } from '../objects/node-store.js';
import { diffManifests } from './diff.js';
import { editManifest } from './edit.js';
import { sameRoot, type ManifestRoot } from './entry.js';
import { isFileAgainstFolder, planMerge, Side, type MergeConflict, type Resolution } from './merge-plan.js';

export { isFileAgainstFolder, type MergeConflict, type Resolution };

export interface MergeResult {
  /** The merged tree; with conflicts left open it means nothing, and is `ours`. */
  readonly root: ManifestRoot;
  /** Paths whose version in `theirs` gave way to ours, folders before what is in them. */
  readonly overwritten: string[];
  /** Paths left open by `resolve`. */
  readonly conflicts: string[];
}

/**
 * Applies to `theirs` what `ours` changed since `base`. All three must be trees in which every parent is a directory, and so is the result.
 *
 * - A path that one side changed takes that side's version; what both made the same is no conflict.
 * - A path that both changed goes where `resolve` says. So does a path that is a folder with changes on one side and was made anything else
 *   on the other; the winner's version of all below it goes with it, and what the loser had changed there is named in `overwritten`.
 * - A folder that one side removed stays when the other added or changed something in it that stays, but without what the remover saw.
 *
 * A modification time alone is no change: where nothing else differs, theirs stays. The cost is that of the two differences, not of the trees.
 *
 * @throws DamageError
 */
export function mergeManifests(
  source: NodeSource,
  sink: NodeSink,
  roots: { base: ManifestRoot; ours: ManifestRoot; theirs: ManifestRoot },
  resolve: (conflict: MergeConflict) => Resolution,
): MergeResult {
  const { base, ours, theirs } = roots;
  const done = (root: ManifestRoot): MergeResult => ({ root, overwritten: [], conflicts: [] });
  if (sameRoot(base, theirs) || sameRoot(ours, theirs)) return done(ours);
  if (sameRoot(base, ours)) return done(theirs);

  const plan = planMerge(new Side(diffManifests(source, base, ours)), new Side(diffManifests(source, base, theirs)), resolve);
  if (plan.conflicts.length > 0) return { root: ours, overwritten: [], conflicts: plan.conflicts };
  return { root: editManifest(source, sink, theirs, plan.edits), overwritten: plan.overwritten, conflicts: [] };
}
