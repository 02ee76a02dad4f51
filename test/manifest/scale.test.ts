import { beforeAll, describe, expect, test } from 'vitest';
import { diffManifests } from '../../packages/core/src/manifest/diff.js';
import { editManifest } from '../../packages/core/src/manifest/edit.js';
import type { Entry, ManifestRoot } from '../../packages/core/src/manifest/entry.js';
import { mergeManifests } from '../../packages/core/src/manifest/merge.js';
import { getEntry, listFolder, totals } from '../../packages/core/src/manifest/read.js';
import { file, folder, link } from '../support/manifest-trees.js';
import { MemoryNodes } from '../support/memory-nodes.js';

const FOLDERS = 1000;
const FILES = 999;
/** ceil(log(1 000 000) / log(128)) levels of nodes. */
const LEVELS = 3;

function pathOf(n: number): string {
  return `runs/${Math.floor(n / FILES)}/checkpoint-${n}.safetensors`;
}

describe('in a tree of a million entries', () => {
  const nodes = new MemoryNodes();
  let root: ManifestRoot = null;

  beforeAll(() => {
    const folders = Array.from({ length: FOLDERS }, (_, n): [string, Entry] => [`runs/${n}`, folder()]);
    root = editManifest(nodes, nodes, null, [['runs', folder()], ...folders]);
    for (let batch = 0; batch < 3; batch++) {
      const files = function* (): Generator<[string, Entry]> {
        for (let n = (batch * FILES * FOLDERS) / 3; n < ((batch + 1) * FILES * FOLDERS) / 3; n++) yield [pathOf(n), file(n % 100)];
      };
      root = editManifest(nodes, nodes, root, files());
    }
  }, 300_000);

  test('the sums are in the top node', () => {
    const { result, read } = nodes.count(() => totals(nodes.cold(), root));
    expect(result).toMatchObject({ entries: FOLDERS + 1 + FILES * FOLDERS, files: FILES * FOLDERS });
    expect(read).toBeLessThanOrEqual(1);
  });

  test('a lookup reads one node per level', () => {
    const cold = nodes.cold();
    const { result, read } = cold.count(() => getEntry(cold, root, pathOf(765_432)));
    expect(result).toEqual(file(765_432 % 100));
    expect(read).toBe(LEVELS);
  });

  test('a change, an addition and a removal each rewrite O(log n) nodes', () => {
    for (const n of [0, 1, 499_999, 765_432, 998_999]) {
      for (const edit of [
        [pathOf(n), link('x')],
        [`${pathOf(n)}.new`, file(1)],
        [pathOf(n), null],
      ] as [string, Entry | null][]) {
        const cold = nodes.cold();
        const { result, read, written } = cold.count(() => editManifest(cold, cold, root, [edit]));
        expect(result).not.toEqual(root);
        expect(written).toBeLessThanOrEqual(3 * LEVELS);
        expect(read).toBeLessThanOrEqual(4 * LEVELS);
        if (edit[1]?.type === 'symlink') expect(written).toBe(LEVELS);
      }
    }
  });

  test('listing a folder reads the nodes of its children only', () => {
    const cold = nodes.cold();
    const small = cold.count(() => [...listFolder(cold, root, 'runs/500')]);
    expect(small.result.length).toBe(FILES);
    expect(small.read).toBeLessThanOrEqual(FILES / 32 + LEVELS);
    const top = nodes.cold();
    const listing = top.count(() => [...listFolder(top, root, '')]);
    expect(listing.result).toEqual([['runs', folder()]]);
    expect(listing.read).toBe(LEVELS);
  });

  test('the difference after one change, and a merge of two, read O(log n) nodes', () => {
    const ours = editManifest(nodes, nodes, root, [[pathOf(123_456), file(1)]]);
    const theirs = editManifest(nodes, nodes, root, [['runs/new', file(2)]]);
    const cold = nodes.cold();
    const diff = cold.count(() => [...diffManifests(cold, root, ours)]);
    expect(diff.result).toEqual([{ path: pathOf(123_456), before: file(123_456 % 100), after: file(1) }]);
    expect(diff.read).toBe(2 * LEVELS);
    const other = nodes.cold();
    const merge = other.count(() => mergeManifests(other, other, { base: root, ours, theirs }, () => 'conflict'));
    expect([...diffManifests(nodes, theirs, merge.result.root)].map(({ path }) => path)).toEqual([pathOf(123_456)]);
    expect(merge.read).toBeLessThanOrEqual(6 * LEVELS);
    expect(merge.written).toBeLessThanOrEqual(3 * LEVELS);
  });

  test('a merge of one change onto hundreds of others reads and writes O(log n) nodes', () => {
    const ours = editManifest(nodes, nodes, root, [[pathOf(123_456), file(1)]]);
    const changed = Array.from({ length: 500 }, (_, n): [string, Entry] => [pathOf(n * 1999), link('x')]);
    const theirs = editManifest(nodes, nodes, root, changed);
    const cold = nodes.cold();
    const merge = cold.count(() => mergeManifests(cold, cold, { base: root, ours, theirs }, () => 'conflict'));
    expect([...diffManifests(nodes, theirs, merge.result.root)].map(({ path }) => path)).toEqual([pathOf(123_456)]);
    expect(merge.read).toBeLessThanOrEqual(8 * LEVELS);
    expect(merge.written).toBeLessThanOrEqual(3 * LEVELS);
  });
});
