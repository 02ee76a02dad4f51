import type { NodeSource } from '../objects/node-store.js';
import { diffManifests, type ManifestChange } from './diff.js';
import { sameEntry, type Entry, type ManifestRoot } from './entry.js';
import { childrenPrefix, descendantsPrefix } from './keys.js';
import type { Side } from './merge-plan.js';
import { getEntry } from './read.js';

/**
 * Of what differs between `base` and `theirs`, all that can meet a change of ours: the paths that ours changed, the folders above
 * them, and what lies below those that one side made, or left, no folder. In no order, each path once. The cost is that of ours,
 * however much else differs: for a few changes on top of many.
 *
 * @throws DamageError
 */
export function* changesNear(source: NodeSource, base: ManifestRoot, theirs: ManifestRoot, ours: Side): Generator<ManifestChange> {
  const looked = new Set<string>();
  /** Folders of which everything below has been looked at. */
  const whole = new Set<string>();
  for (const changed of ours.changes.keys()) {
    for (const path of downTo(changed)) {
      // A folder comes before what is in it, so nothing below it has been looked at alone.
      if (whole.has(path)) break;
      if (looked.has(path)) continue;
      looked.add(path);
      const before = getEntry(source, base, path);
      const after = getEntry(source, theirs, path);
      if (!sameEntry(before, after)) yield { path, ...(before && { before }), ...(after && { after }) };
      const change = ours.changes.get(path);
      if (!meetAsAWhole(before, change === undefined ? before : change.after, after)) continue;
      whole.add(path);
      for (const prefix of [childrenPrefix(path), descendantsPrefix(path)]) yield* diffManifests(source, base, theirs, prefix);
      break;
    }
  }
}

/** Whether what lies below a path is decided with it: there is, or was, something, and one side has no folder for it. */
function meetAsAWhole(base: Entry | undefined, ours: Entry | undefined, theirs: Entry | undefined): boolean {
  if (!isFolder(base) && !isFolder(theirs)) return false;
  return !isFolder(ours) || (theirs !== undefined && !isFolder(theirs));
}

function isFolder(entry: Entry | undefined): boolean {
  return entry?.type === 'directory';
}

/** The folders above a path from the top down, and the path. */
function* downTo(path: string): Generator<string> {
  for (let end = path.indexOf('/'); end > 0; end = path.indexOf('/', end + 1)) yield path.slice(0, end);
  yield path;
}
