import type { NodeSink, NodeSource } from '../objects/node-store.js';
import { changesNear } from './changes-near.js';
import { diffManifests, type ManifestChange } from './diff.js';
import { editManifest } from './edit.js';
import { sameRoot, type ManifestRoot } from './entry.js';
import { pathToKey } from './keys.js';
import { isFileAgainstFolder, planMerge, Side, type MergeConflict, type Resolution } from './merge-plan.js';

export { isFileAgainstFolder, type MergeConflict, type Resolution };

/** Up to so many changes of ours, theirs are looked up where ours are; from there on, both are listed side by side. */
export const FEW_CHANGES = 64;

export interface MergeRoots {
  readonly base: ManifestRoot;
  readonly ours: ManifestRoot;
  readonly theirs: ManifestRoot;
}

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
 * A modification time alone is no change: where nothing else differs, theirs stays. The cost is that of the two differences, not of the trees;
 * where ours are few, it is that of ours alone.
 *
 * @throws DamageError
 */
export function mergeManifests(
  source: NodeSource,
  sink: NodeSink,
  roots: MergeRoots,
  resolve: (conflict: MergeConflict) => Resolution,
): MergeResult {
  return mergeIfSmall(source, sink, roots, resolve, Infinity)!;
}

/**
 * The same; undefined, with nothing written, when more than `maxChanges` would have to be looked at on either side.
 *
 * @param known what ours changed, in the order of keys, where the caller has it.
 */
export function mergeIfSmall(
  source: NodeSource,
  sink: NodeSink,
  { base, ours, theirs }: MergeRoots,
  resolve: (conflict: MergeConflict) => Resolution,
  maxChanges: number,
  known?: readonly ManifestChange[],
): MergeResult | undefined {
  const done = (root: ManifestRoot): MergeResult => ({ root, overwritten: [], conflicts: [] });
  if (sameRoot(base, theirs) || sameRoot(ours, theirs)) return done(ours);
  if (sameRoot(base, ours)) return done(theirs);

  const our = known ?? upTo(maxChanges, diffManifests(source, base, ours));
  if (our === undefined) return undefined;
  const ourSide = new Side(our);
  const isFew = our.length <= FEW_CHANGES;
  const their = upTo(maxChanges, isFew ? changesNear(source, base, theirs, ourSide) : diffManifests(source, base, theirs));
  if (their === undefined) return undefined;
  const plan = planMerge(ourSide, new Side(isFew ? inKeyOrder(their) : their), resolve);
  if (plan.conflicts.length > 0) return { root: ours, overwritten: [], conflicts: plan.conflicts };
  return { root: editManifest(source, sink, theirs, plan.edits), overwritten: plan.overwritten, conflicts: [] };
}

/** All changes; undefined when there are more than `limit`. */
export function upTo(limit: number, changes: Iterable<ManifestChange>): ManifestChange[] | undefined {
  const all: ManifestChange[] = [];
  for (const change of changes) if (all.push(change) > limit) return undefined;
  return all;
}

function inKeyOrder(changes: readonly ManifestChange[]): ManifestChange[] {
  const keyed = changes.map((change) => ({ key: pathToKey(change.path), change }));
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ change }) => change);
}
