import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FEW_CHANGES, mergeManifests, type MergeConflict, type Resolution } from '../../packages/core/src/manifest/merge.js';
import { sameRoot, type Entry } from '../../packages/core/src/manifest/entry.js';
import { walkTree } from '../../packages/core/src/manifest/read.js';
import { apply, bulk, file, folder, inKeyOrder, lines, link, parentOf, treeSteps, type Tree } from '../support/manifest-trees.js';
import { MemoryNodes } from '../support/memory-nodes.js';
import { referenceMerge } from '../support/reference-merge.js';

function merge(base: Tree, ours: Tree, theirs: Tree, resolve: (c: MergeConflict) => Resolution) {
  const nodes = new MemoryNodes();
  const roots = { base: bulk(base, nodes), ours: bulk(ours, nodes), theirs: bulk(theirs, nodes) };
  const seen: MergeConflict[] = [];
  const result = mergeManifests(nodes, nodes, roots, (conflict) => {
    seen.push(conflict);
    return resolve(conflict);
  });
  return { ...result, roots, tree: new Map(walkTree(nodes, result.root, '')), seen };
}

function tree(entries: Record<string, Entry>): Tree {
  return new Map(Object.entries(entries));
}

const filler: Tree = new Map(Array.from({ length: 700 }, (_, n) => [`f${n}`, file(n)]));

const nothing: Tree = new Map();

/** What else is in the three trees, now and then, so that the changes lie in several nodes; and so many changes that both sides are listed. */
const others = fc.nat(19).map((n): [Tree, Tree, Tree] => {
  if (n > 1) return [nothing, nothing, nothing];
  if (n === 1) return [filler, filler, filler];
  const changed = Array.from({ length: FEW_CHANGES + 36 }, (_, i): [string, Entry] => [`f${i}`, file(1000)]);
  return [filler, new Map([...filler, ...changed]), new Map([...filler].filter((_, i) => i < 80 || i > 180))];
});

const resolutions = fc.constantFrom<(c: MergeConflict) => Resolution>(
  () => 'ours',
  () => 'theirs',
  () => 'conflict',
  ({ path }) => (path.length % 2 === 0 ? 'ours' : 'theirs'),
  ({ path, ours }) => (ours?.type === 'directory' ? 'theirs' : path.includes('a') ? 'ours' : 'theirs'),
);

describe('a three-way merge', () => {
  test('is that of three maps, and gives a tree in which every parent is a folder', () => {
    fc.assert(
      fc.property(treeSteps, treeSteps, treeSteps, resolutions, others, (start, our, their, resolve, more) => {
        const small = apply(new Map(), start);
        const [base, ours, theirs] = [small, apply(small, our), apply(small, their)].map(
          (tree, side): Tree => new Map([...tree, ...more[side]!]),
        ) as [Tree, Tree, Tree];
        const result = merge(base, ours, theirs, resolve);
        const expected = referenceMerge(base, ours, theirs, resolve);
        expect([...result.conflicts].sort()).toEqual(expected.conflicts);
        if (result.conflicts.length > 0) {
          expect(sameRoot(result.root, result.roots.ours)).toBe(true);
          return;
        }
        expect(lines(result.tree)).toEqual(lines(inKeyOrder(expected.tree)));
        expect(sameRoot(result.root, bulk(expected.tree))).toBe(true);
        expect([...result.overwritten].sort()).toEqual(expected.overwritten);
        for (const path of result.tree.keys()) {
          if (parentOf(path) !== '' && result.tree.get(parentOf(path))?.type !== 'directory') throw new Error(`no folder for ${path}`);
        }
      }),
      { numRuns: 800 },
    );
  });

  test('takes the changes of both sides when they touch different paths', () => {
    const base = tree({ d: folder(), 'd/a': file(1), 'd/b': file(2), c: file(3) });
    const ours = tree({ d: folder(), 'd/a': file(9), c: file(3) });
    const theirs = tree({ d: folder(), 'd/a': file(1), 'd/b': file(2), n: link('x') });
    const result = merge(base, ours, theirs, () => 'conflict');
    expect(result).toMatchObject({ overwritten: [], conflicts: [], tree: tree({ d: folder(), 'd/a': file(9), n: link('x') }) });
  });

  test('keeps what both made the same without asking, with the time of theirs', () => {
    const result = merge(
      tree({ a: file(1), g: file(5) }),
      tree({ a: file(2, 7n), x: folder() }),
      tree({ a: file(2, 8n), x: folder(), z: file(1) }),
      () => 'conflict',
    );
    expect(result).toMatchObject({ overwritten: [], conflicts: [], tree: tree({ a: file(2, 8n), x: folder(), z: file(1) }) });
  });

  test('asks with all three versions, and names only what gave way to ours', () => {
    const base = tree({ a: file(1), b: file(1), c: file(1) });
    const ours = tree({ a: file(2), b: file(2), n: file(2) });
    const theirs = tree({ a: file(3), b: file(3), c: file(3), n: file(3) });
    const result = merge(base, ours, theirs, ({ path }) => (path === 'b' ? 'theirs' : 'ours'));
    expect(result.tree).toEqual(tree({ a: file(2), b: file(3), n: file(2) }));
    expect(result.overwritten).toEqual(['a', 'c', 'n']);
    expect(result.seen).toContainEqual({ path: 'c', base: file(1), ours: undefined, theirs: file(3) });
    expect(result.seen).toContainEqual({ path: 'n', base: undefined, ours: file(2), theirs: file(3) });
  });

  test('collects every open conflict and gives no result', () => {
    const result = merge(tree({ a: file(1), b: file(1) }), tree({ a: file(2), b: file(2) }), tree({ a: file(3) }), () => 'conflict');
    expect(result.conflicts).toEqual(['a', 'b']);
    expect(result.overwritten).toEqual([]);
    expect(result.root).toEqual(result.roots.ours);
  });

  test('lets a file that wins over a folder take what was added below, and names all of it', () => {
    const base = tree({ d: folder(), 'd/old': file(1) });
    const ours = tree({ d: file(2) });
    const theirs = tree({ d: folder(), 'd/old': file(1), 'd/new': folder(), 'd/new/x': file(3), other: file(4) });
    const won = merge(base, ours, theirs, () => 'ours');
    expect(won.tree).toEqual(tree({ d: file(2), other: file(4) }));
    expect(won.overwritten).toEqual(['d', 'd/new', 'd/new/x']);
    expect(won.seen).toEqual([{ path: 'd', base: folder(), ours: file(2), theirs: folder() }]);
    expect(merge(base, ours, theirs, () => 'theirs').tree).toEqual(theirs);
  });

  test('lets a folder that wins over a file stay whole', () => {
    const base = tree({ d: folder(), 'd/old': file(1), 'd/kept': file(1) });
    const ours = tree({ d: folder(), 'd/old': file(2), 'd/kept': file(1) });
    const theirs = tree({ d: link('elsewhere'), other: file(4) });
    const result = merge(base, ours, theirs, () => 'ours');
    expect(result.tree).toEqual(tree({ ...Object.fromEntries(ours), other: file(4) }));
    expect(result.overwritten).toEqual(['d']);
  });

  test('replaces a folder by a file without asking when the other only removed from it', () => {
    const base = tree({ d: folder(), 'd/a': file(1), 'd/b': file(1) });
    const result = merge(base, tree({ d: file(2) }), tree({ d: folder(), 'd/a': file(1) }), () => 'conflict');
    expect(result).toMatchObject({ tree: tree({ d: file(2) }), overwritten: [], conflicts: [] });
  });

  test('removes of a folder what its remover saw, and keeps what the other added, with its folders', () => {
    const base = tree({ d: folder(), 'd/e': folder(), 'd/e/seen': file(1), 'd/f': folder(), x: file(1) });
    const removed = tree({ x: file(1) });
    const added = tree({ ...Object.fromEntries(base), 'd/e/new': file(2) });
    const expected = tree({ d: folder(), 'd/e': folder(), 'd/e/new': file(2), x: file(1) });
    for (const [ours, theirs] of [
      [removed, added],
      [added, removed],
    ] as const) {
      expect(merge(base, ours, theirs, () => 'conflict')).toMatchObject({ tree: expected, overwritten: [], conflicts: [] });
    }
  });

  test('asks about a file that one removed with its folder and the other modified', () => {
    const base = tree({ d: folder(), 'd/a': file(1), 'd/b': file(1) });
    const removed: Tree = new Map([['x', file(5)]]);
    const modified = tree({ d: folder(), 'd/a': file(2), 'd/b': file(1) });
    const gone = merge(base, removed, modified, () => 'ours');
    expect([gone.tree, gone.overwritten]).toEqual([removed, ['d/a']]);
    expect(merge(base, removed, modified, () => 'theirs').tree).toEqual(tree({ d: folder(), 'd/a': file(2), x: file(5) }));
    const kept = merge(base, modified, removed, () => 'ours');
    expect([kept.tree, kept.overwritten]).toEqual([tree({ d: folder(), 'd/a': file(2), x: file(5) }), ['d/a']]);
  });

  test('is the other side, time and all, when one side did nothing', () => {
    const base = tree({ a: file(1) });
    const touched = tree({ a: file(1, 99n) });
    for (const [ours, theirs] of [
      [touched, base],
      [base, touched],
    ] as const) {
      expect(merge(base, ours, theirs, () => 'conflict').tree).toEqual(touched);
    }
    expect(merge(base, tree({}), tree({}), () => 'conflict').root).toBeNull();
  });
});
