import { sameEntry, type Entry } from '../../packages/core/src/manifest/entry.js';
import type { MergeConflict, Resolution } from '../../packages/core/src/manifest/merge.js';
import { parentOf, type Tree } from './manifest-trees.js';

/** A node of a tree with what is below it; the root has no entry of its own. */
interface Branch {
  entry: Entry;
  children: Map<string, Branch>;
}

/**
 * The merge that `mergeManifests` promises, told another way: down three whole trees at once, branch by branch, with no difference of
 * trees, no key order and no later repair of folders.
 */
export function referenceMerge(base: Tree, ours: Tree, theirs: Tree, resolve: (conflict: MergeConflict) => Resolution) {
  const overwritten: string[] = [];
  const conflicts: string[] = [];

  function merge(path: string, b: Branch | undefined, o: Branch | undefined, t: Branch | undefined): Branch | undefined {
    if (same(o, t) || same(b, o)) return t;
    if (same(b, t)) return o;
    if (isFolder(o) && isFolder(t)) return { entry: t.entry, children: mergeChildren(path, b, o, t) };
    if (isFolder(b) && (o === undefined ? isFolder(t) : t === undefined && isFolder(o))) {
      const children = mergeChildren(path, b, o, t);
      return children.size > 0 ? { entry: b.entry, children } : undefined;
    }
    // Something on one side that cannot hold what the other side has: no quarrel when that was only tidied up.
    if (o !== undefined && isFolder(t) && isFolder(b) && !hasNews(b, t)) return o;
    if (t !== undefined && isFolder(o) && isFolder(b) && !hasNews(b, o)) return t;
    const winner = resolve({ path, base: b?.entry, ours: o?.entry, theirs: t?.entry });
    if (winner === 'conflict') conflicts.push(path);
    if (winner === 'ours') overwritten.push(path, ...newsBelow(path, b, t));
    return winner === 'theirs' ? t : o;
  }

  function mergeChildren(path: string, b: Branch | undefined, o: Branch | undefined, t: Branch | undefined): Map<string, Branch> {
    const merged = new Map<string, Branch>();
    for (const name of new Set([b, o, t].flatMap((branch) => [...(branch?.children.keys() ?? [])]))) {
      const below = path === '' ? name : `${path}/${name}`;
      const child = merge(below, b?.children.get(name), o?.children.get(name), t?.children.get(name));
      if (child !== undefined) merged.set(name, child);
    }
    return merged;
  }

  const children = mergeChildren('', grow(base), grow(ours), grow(theirs));
  return { tree: flatten('', children), overwritten: overwritten.sort(), conflicts: conflicts.sort() };
}

function isFolder(branch: Branch | undefined): branch is Branch {
  return branch?.entry.type === 'directory';
}

function same(a: Branch | undefined, b: Branch | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    sameEntry(a.entry, b.entry) &&
    a.children.size === b.children.size &&
    [...a.children].every(([name, child]) => same(child, b.children.get(name)))
  );
}

/** Whether anything below was added or changed since, not only removed. */
function hasNews(base: Branch, now: Branch): boolean {
  return newsBelow('', base, now).length > 0;
}

function newsBelow(path: string, base: Branch | undefined, now: Branch | undefined): string[] {
  return [...(now?.children ?? [])].flatMap(([name, child]) => {
    const below = `${path}/${name}`;
    const before = base?.children.get(name);
    return [...(sameEntry(before?.entry, child.entry) ? [] : [below]), ...newsBelow(below, before, child)];
  });
}

function grow(tree: Tree): Branch {
  const root: Branch = { entry: { type: 'directory', mtimeNs: 0n }, children: new Map() };
  const branches = new Map([['', root]]);
  for (const [path, entry] of [...tree].sort(([a], [b]) => a.split('/').length - b.split('/').length)) {
    const branch = { entry, children: new Map<string, Branch>() };
    branches.set(path, branch);
    branches.get(parentOf(path))?.children.set(path.slice(path.lastIndexOf('/') + 1), branch);
  }
  return root;
}

function flatten(path: string, children: Map<string, Branch>): Tree {
  const tree: Tree = new Map();
  for (const [name, branch] of children) {
    const below = path === '' ? name : `${path}/${name}`;
    tree.set(below, branch.entry);
    for (const [deeper, entry] of flatten(below, branch.children)) tree.set(deeper, entry);
  }
  return tree;
}
