import fc from 'fast-check';
import { expect, test } from 'vitest';
import { diffManifests } from '../../packages/core/src/manifest/diff.js';
import { sameEntry } from '../../packages/core/src/manifest/entry.js';
import { bulk, file, inKeyOrder, show, type Tree } from '../support/manifest-trees.js';
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
