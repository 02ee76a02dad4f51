/** The decisions of a three-way merge, as a pure value: from what each side changed to what has to change in `theirs`. */
import type { ManifestChange } from './diff.js';
import { sameEntry, type Entry } from './entry.js';
import { pathToKey } from './keys.js';

/** A path that both sides changed, and what it is in the three trees; undefined where there is nothing. */
export interface MergeConflict {
  readonly path: string;
  readonly base: Entry | undefined;
  readonly ours: Entry | undefined;
  readonly theirs: Entry | undefined;
}

/** Whether one side has a folder where the other has a file or symlink. */
export function isFileAgainstFolder({ ours, theirs }: MergeConflict): boolean {
  return ours !== undefined && theirs !== undefined && (ours.type === 'directory') !== (theirs.type === 'directory');
}

/** Which side a conflict goes to; 'conflict' leaves it open, and the merge has no result then. */
export type Resolution = 'ours' | 'theirs' | 'conflict';

/** What one side changed since the base. */
export class Side {
  /** By path, in the order of keys: a folder before what is in it. */
  readonly changes = new Map<string, ManifestChange>();
  /** Folders in which, at any depth, something was added or changed. */
  private readonly touched = new Set<string>();

  constructor(changes: Iterable<ManifestChange>) {
    for (const change of changes) {
      this.changes.set(change.path, change);
      if (change.after !== undefined) addFoldersOf(this.touched, change.path);
    }
  }

  /** Whether this side made the path something that can hold nothing. */
  madeNoFolder(path: string): boolean {
    const after = this.changes.get(path)?.after;
    return after !== undefined && after.type !== 'directory';
  }

  /** Whether this side made the path a folder, or added or changed something in it. */
  usesFolder(path: string): boolean {
    return this.touched.has(path) || this.changes.get(path)?.after?.type === 'directory';
  }
}

export interface MergePlan {
  /** What to set, or with null to remove, in `theirs`. */
  readonly edits: Map<string, Entry | null>;
  readonly overwritten: string[];
  readonly conflicts: string[];
}

/** The rules are told at `mergeManifests`. Both sides must be well-formed trees; then the result is one. */
export function planMerge(ours: Side, theirs: Side, resolve: (conflict: MergeConflict) => Resolution): MergePlan {
  const edits = new Map<string, Entry | null>();
  const overwritten: string[] = [];
  const conflicts: string[] = [];
  /** By path, who won it and all that is below. */
  const subtrees = new Map<string, Resolution>();
  /** Folders above a change that stays. */
  const needed = new Set<string>();

  for (const path of parentsFirst([...ours.changes.keys()], [...theirs.changes.keys()])) {
    const our = ours.changes.get(path);
    const their = theirs.changes.get(path);
    // A side that did not change the path has what the base has.
    const base = (our ?? their)?.before;
    const conflict = { path, base, ours: our === undefined ? base : our.after, theirs: their === undefined ? base : their.after };
    const inherited = subtrees.size === 0 ? undefined : winnerAbove(subtrees, path);

    let winner: Resolution = inherited ?? (our !== undefined && their === undefined ? 'ours' : 'theirs');
    if (inherited !== undefined) {
      if (winner === 'ours' && their?.after !== undefined) overwritten.push(path);
    } else if (conflicting(conflict, ours, theirs)) {
      winner = resolve(conflict);
      if (winner === 'conflict') conflicts.push(path);
      if (winner === 'ours') overwritten.push(path);
      if (conflict.ours?.type === 'directory' || conflict.theirs?.type === 'directory') subtrees.set(path, winner);
    }
    if (winner === 'conflict') continue;
    if (winner === 'ours') edits.set(path, conflict.ours ?? null);
    if (conflict[winner] !== undefined) addFoldersOf(needed, path);
  }
  for (const folder of needed) revive(folder, edits, theirs);
  return { edits, overwritten, conflicts };
}

function conflicting({ path, ours: our, theirs: their }: MergeConflict, ours: Side, theirs: Side): boolean {
  if (ours.changes.has(path) && theirs.changes.has(path)) return !sameEntry(our, their);
  return (ours.madeNoFolder(path) && theirs.usesFolder(path)) || (theirs.madeNoFolder(path) && ours.usesFolder(path));
}

/** Keeps, or brings back, a folder that one side removed and in which something of the other's stays. */
function revive(folder: string, edits: Map<string, Entry | null>, theirs: Side): void {
  if (edits.get(folder) === null) edits.delete(folder);
  const their = theirs.changes.get(folder);
  if (their?.before !== undefined && their.after === undefined && !edits.has(folder)) edits.set(folder, their.before);
}

/** The winner of the path's nearest folder that was decided as a whole. */
function winnerAbove(subtrees: ReadonlyMap<string, Resolution>, path: string): Resolution | undefined {
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
    const winner = subtrees.get(path.slice(0, end));
    if (winner !== undefined) return winner;
  }
  return undefined;
}

/** Adds all folders above a path; stops at the first one known, since those above it are known too. */
function addFoldersOf(folders: Set<string>, path: string): void {
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
    const folder = path.slice(0, end);
    if (folders.has(folder)) return;
    folders.add(folder);
  }
}

/** Two lists in the order of keys as one, each path once. */
function* parentsFirst(a: readonly string[], b: readonly string[]): Generator<string> {
  const left = a.map(pathToKey);
  const right = b.map(pathToKey);
  for (let i = 0, j = 0; i < a.length || j < b.length;) {
    const inLeft = j >= b.length || (i < a.length && left[i]! <= right[j]!);
    const inRight = i >= a.length || (j < b.length && right[j]! <= left[i]!);
    yield inLeft ? a[i]! : b[j]!;
    if (inLeft) i++;
    if (inRight) j++;
  }
}
