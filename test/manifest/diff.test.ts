import fc from 'fast-check';
import { expect, test } from 'vitest';
import { diffManifests, differsAt } from '../../packages/core/src/manifest/diff.js';
import { sameEntry } from '../../packages/core/src/manifest/entry.js';
import { descendantsPrefix } from '../../packages/core/src/manifest/keys.js';
import { bulk, file, folder, inKeyOrder, show, type Tree } from '../support/manifest-trees.js';
import { MemoryNodes } from '../support/memory-nodes.js';

const trees = fc
  .array(fc.record({ first: fc.nat(2000), count: fc.oneof(fc.constant(1), fc.nat(1500)), version: fc.nat(2), set: fc.boolean() }), {
    maxLength: 5,
  })
  .map((ranges) => {
    const tree: Tree = new Map();
    for (const { first, count, version, set } of ranges) {
      for (let n = first; n < first + count; n++) {
        if (set) tree.set(`d${n % 4}/ü${n}`, file(n * 3 + version, BigInt(first)));
        else tree.delete(`d${n % 4}/ü${n}`);
      }
    }
    return tree;
  });

function mapDiff(before: Tree, after: Tree): string[] {
  const all = inKeyOrder(new Map([...before, ...after]));
  return all.flatMap(([path]) => {
    const a = before.get(path);
    const b = after.get(path);
    return sameEntry(a, b) ? [] : [`${path}: ${show(a)} > ${show(b)}`];
  });
}

test('the difference of two trees is that of two maps, modification times aside', () => {
  fc.assert(
    fc.property(trees, trees, (first, second) => {
      const nodes = new MemoryNodes();
      const mixed: Tree = new Map([...first, ...[...second].slice(0, 30)]);
      for (const [a, b] of [
        [first, second],
        [first, mixed],
        [mixed, second],
        [new Map() as Tree, first],
        [second, new Map() as Tree],
        [first, first],
      ] as const) {
        const changes = [...diffManifests(nodes, bulk(a, nodes), bulk(b, nodes))];
        expect(changes.map(({ path, before, after }) => `${path}: ${show(before)} > ${show(after)}`)).toEqual(mapDiff(a, b));
      }
    }),
    { numRuns: 15 },
  );
});

test('a tree that was touched all over differs in nothing', () => {
  const nodes = new MemoryNodes();
  const before: Tree = new Map(Array.from({ length: 2000 }, (_, n) => [`f${n}`, file(n, 1n)]));
  const after: Tree = new Map(Array.from({ length: 2000 }, (_, n) => [`f${n}`, file(n, 2n)]));
  expect([...diffManifests(nodes, bulk(before, nodes), bulk(after, nodes))]).toEqual([]);
});

/** The same with folders, as volumes have them: in the root, and one in another. */
const nested = trees.map((tree): Tree => {
  const paths = new Map<string, ReturnType<typeof file>>();
  for (const [path, entry] of tree) {
    const [top, name] = path.split('/') as [string, string];
    for (const above of [top, `${top}/in`]) paths.set(above, folder());
    paths.set(`${top}/in/${name}`, entry);
    if (name.endsWith('7')) paths.set(`${top}x`, entry);
  }
  return paths;
});

test('two trees differ at a path when the difference of two maps has something there or below', () => {
  fc.assert(
    fc.property(
      nested,
      nested,
      fc.constantFrom('', 'd0', 'd1/in', 'd2x', 'd', 'd1/in/ü7', 'd3/in/ü1200', 'none'),
      (first, second, path) => {
        const nodes = new MemoryNodes();
        const mixed: Tree = new Map([...first, ...[...second].slice(0, 9)]);
        for (const [a, b] of [
          [first, second],
          [first, mixed],
          [new Map() as Tree, second],
        ] as const) {
          const changed = inKeyOrder(new Map([...a, ...b])).filter(([at]) => !sameEntry(a.get(at), b.get(at)));
          const below = (at: string): boolean => path === '' || at.startsWith(`${path}/`);
          const [from, to] = [bulk(a, nodes), bulk(b, nodes)];
          expect(differsAt(nodes, from, to, path)).toBe(changed.some(([at]) => at === path || below(at)));
          const deeper = changed.map(([at]) => at).filter((at) => path === '' || (at.lastIndexOf('/') > path.length && below(at)));
          expect([...diffManifests(nodes, from, to, descendantsPrefix(path))].map((change) => change.path)).toEqual(deeper);
        }
      },
    ),
    { numRuns: 30 },
  );
});

test('whether trees differ at a path is told from the nodes on the way there, whatever has changed elsewhere', () => {
  const nodes = new MemoryNodes();
  const tree = (version: number): Tree => {
    const entries: [string, ReturnType<typeof file>][] = Array.from({ length: 40_000 }, (_, n) => [`all/${n}`, file(n + version, 1n)]);
    return new Map([['all', folder()], ['few', folder()], ['few/same', file(1)], ...entries]);
  };
  const [a, b] = [bulk(tree(0), nodes), bulk(tree(7), nodes)];
  expect(nodes.cold().count(() => [...diffManifests(nodes, a, b)]).result).toHaveLength(40_000);
  for (const [path, expected] of [
    ['few', false],
    ['few/same', false],
    ['all/77', true],
    ['all', true],
  ] as const) {
    const cold = nodes.cold();
    const { result, read } = cold.count(() => differsAt(cold, a, b, path));
    expect([path, result]).toEqual([path, expected]);
    expect(read).toBeLessThanOrEqual(16);
  }
});
