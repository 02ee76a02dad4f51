import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvalidPathError } from '../../packages/core/src/errors.js';
import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { editManifest } from '../../packages/core/src/manifest/edit.js';
import { sameEntry, sameRoot, type Entry, type ManifestRoot } from '../../packages/core/src/manifest/entry.js';
import { decodeManifestNode } from '../../packages/core/src/manifest/node.js';
import { getEntry, listFolder, totals, walkTree } from '../../packages/core/src/manifest/read.js';
import { bulk, file, folder, inKeyOrder, lines, link, parentOf, show, type Tree } from '../support/manifest-trees.js';
import { MemoryNodes } from '../support/memory-nodes.js';

/** Paths of several folders and scripts; equal numbers give equal paths. */
function pathOf(n: number): string {
  const name = ['x', 'weights-', 'ü', '日', '\u{1f980}', '\uff5e', 'layer.'][n % 7] ?? '';
  return n % 5 === 0 ? `${name}${n}` : `${['models', 'models/a', 'models-a', 'модель', '\u{1f980}/b'][n % 5]}/${name}${n}`;
}

function entryOf(n: number): Entry {
  return n % 11 === 0 ? folder(BigInt(n)) : n % 13 === 0 ? link(`t${n}`, -5n) : file(n % 1000, BigInt(n) * 1_000_000_007n, n % 2 === 0);
}

/** Batches of ranges of paths, set or removed: large enough for several nodes and levels, and for nodes to vanish. */
const batches = fc.array(
  fc.array(
    fc.record({
      first: fc.nat(3000),
      count: fc.oneof(fc.constant(1), fc.nat(1200)),
      step: fc.constantFrom(1, 2, 7),
      set: fc.boolean(),
      version: fc.nat(3),
    }),
    { minLength: 1, maxLength: 4 },
  ),
  { minLength: 1, maxLength: 5 },
);

describe('editing a manifest', () => {
  test('in any order and batching gives the root that a bulk build of the result gives', () => {
    fc.assert(
      fc.property(batches, (all) => {
        const nodes = new MemoryNodes();
        const model: Tree = new Map();
        let root: ManifestRoot = null;
        for (const batch of all) {
          const edits: [string, Entry | null][] = [];
          for (const { first, count, step, set, version } of batch) {
            for (let n = first; n < first + count * step; n += step) edits.push([pathOf(n), set ? entryOf(n * 4 + version) : null]);
          }
          root = editManifest(nodes, nodes, root, edits);
          for (const [path, entry] of edits) {
            if (entry === null) model.delete(path);
            else model.set(path, entry);
          }
          expect(sameRoot(root, bulk(model))).toBe(true);
        }
        expect(lines(walkTree(nodes, root, ''))).toEqual(lines(inKeyOrder(model)));
        const emptied = editManifest(
          nodes,
          nodes,
          root,
          [...model.keys()].map((path): [string, null] => [path, null]),
        );
        expect(emptied).toBeNull();
      }),
      { numRuns: 25 },
    );
  });

  test('one path at a time, to the last and back to nothing, keeps the root that a bulk build gives', () => {
    const nodes = new MemoryNodes();
    const model: Tree = new Map();
    let root: ManifestRoot = null;
    const steps: [string, Entry | null][] = [];
    for (let n = 0; n < 700; n++) steps.push([pathOf((n * 577) % 701), entryOf(n)]);
    for (let n = 0; n < 701; n++) steps.push([pathOf((n * 211) % 701), null]);
    for (const [index, [path, entry]] of steps.entries()) {
      root = editManifest(nodes, nodes, root, [[path, entry]]);
      if (entry === null) model.delete(path);
      else model.set(path, entry);
      if (index % 9 === 0) expect(sameRoot(root, bulk(model))).toBe(true);
    }
    expect(root).toBeNull();
  });

  test('that appends behind, or inserts before, a node that ends there keeps the node', () => {
    const names = Array.from({ length: 1200 }, (_, n) => `f${String(n).padStart(5, '0')}`);
    for (const order of [names, names.toReversed()]) {
      const nodes = new MemoryNodes();
      const model: Tree = new Map();
      let root: ManifestRoot = null;
      for (const [index, name] of order.entries()) {
        root = editManifest(nodes, nodes, root, [[name, file(1)]]);
        model.set(name, file(1));
        expect(totals(nodes, root).entries).toBe(index + 1);
        if (index < 300 || index % 50 === 0) expect(sameRoot(root, bulk(model))).toBe(true);
      }
    }
  });

  test.each([1, 2, 31, 32, 33, 127, 128, 129, 511, 512, 513, 4000])('of %i entries bounds the items of every node', (count) => {
    const nodes = new MemoryNodes();
    const root = editManifest(
      nodes,
      nodes,
      null,
      Array.from({ length: count }, (_, n): [string, Entry] => [`f${n}`, file(n)]),
    );
    expect(totals(nodes, root)).toEqual({ entries: count, files: count, sizeBytes: (count * (count - 1)) / 2 });
    for (const bytes of nodes.objects.values()) expect(decodeManifestNode(bytes).count).toBeLessThanOrEqual(512);
    expect(nodes.objects.size).toBeLessThanOrEqual(count / 32 + 2);
  });

  test('that changes values only moves no node end', () => {
    const nodes = new MemoryNodes();
    const paths = Array.from({ length: 5000 }, (_, n) => pathOf(n));
    const root = editManifest(
      nodes,
      nodes,
      null,
      paths.map((path, n): [string, Entry] => [path, entryOf(n)]),
    );
    const before = nodes.objects.size;
    const changed = editManifest(
      nodes,
      nodes,
      root,
      paths.map((path): [string, Entry] => [path, link('elsewhere')]),
    );
    const ends = (from: number): string[] =>
      [...nodes.objects.values()]
        .slice(from)
        .map((bytes) => decodeManifestNode(bytes))
        .map((node) => `${node.level} ${node.lastKey}`);
    expect(changed).not.toEqual(root);
    expect(ends(before).sort()).toEqual(ends(0).slice(0, before).sort());
  });

  test('that sets what is there, or removes what is not, writes nothing and keeps the root', () => {
    const nodes = new MemoryNodes();
    const root = editManifest(
      nodes,
      nodes,
      null,
      Array.from({ length: 3000 }, (_, n): [string, Entry] => [pathOf(n), entryOf(n)]),
    );
    const { result, written } = nodes.count(() =>
      editManifest(nodes, nodes, root, [
        [pathOf(5), entryOf(5)],
        [pathOf(2999), entryOf(2999)],
        ['nowhere', null],
        ['zz/nowhere', null],
      ]),
    );
    expect(result).toEqual(root);
    expect(written).toBe(0);
    expect(editManifest(nodes, nodes, null, [['nowhere', null]])).toBeNull();
    expect(editManifest(nodes, nodes, root, [])).toBe(root);
    for (let count = 1; count < 300; count++) {
      const entries = Array.from({ length: count }, (_, n): [string, Entry] => [`f${n}`, file(n)]);
      const small = editManifest(nodes, nodes, null, entries);
      expect(
        editManifest(nodes, nodes, small, [
          ['f0', file(0)],
          ['zz', null],
        ]),
      ).toEqual(small);
    }
  });

  test('takes the last of two edits of a path', () => {
    const nodes = new MemoryNodes();
    expect(
      editManifest(nodes, nodes, null, [
        ['a', file(1)],
        ['a', file(2)],
      ]),
    ).toEqual(bulk([['a', file(2)]]));
    expect(
      editManifest(nodes, nodes, null, [
        ['a', file(1)],
        ['a', null],
      ]),
    ).toBeNull();
  });

  test.each(['', '/a', 'a/', 'a//b', '.', '..', 'a/../b', './a', 'a\0b', 'a\\b', '\ud800', 'x'.repeat(4097), 'é'.repeat(2049)])(
    'refuses the path %.20j, which a reader would refuse to give back',
    (path) => {
      const nodes = new MemoryNodes();
      expect(() => editManifest(nodes, nodes, null, [[path, file(1)]])).toThrow(InvalidPathError);
    },
  );

  test.each(['...', '.a', 'a.', '..a', 'a/...', ' ', 'x'.repeat(4096), 'é'.repeat(2048), '\u{1f980}/\uffff', 'a\nb'])(
    'takes the path %.20j',
    (path) => {
      const nodes = new MemoryNodes();
      const root = editManifest(nodes, nodes, null, [[path, file(7)]]);
      expect(getEntry(nodes.cold(), root, path)).toEqual(file(7));
      expect([...walkTree(nodes.cold(), root, '')]).toEqual([[path, file(7)]]);
    },
  );

  test('refuses values that the format cannot hold', () => {
    const nodes = new MemoryNodes();
    const set = (entry: Entry): unknown => editManifest(nodes, nodes, null, [['a', entry]]);
    expect(() => set(file(1, 1n << 63n))).toThrow(/modification time/);
    for (const target of ['', 'a\0', '\ud800', 'x'.repeat(4097)]) expect(() => set(link(target))).toThrow(InvalidPathError);
    const huge = {
      ...file(0),
      content: { height: 1, root: file(1).type === 'file' ? new Uint8Array(32) : undefined, length: 2 ** 53 - 1 },
    } as Entry;
    expect(() =>
      editManifest(nodes, nodes, null, [
        ['a', huge],
        ['b', huge],
      ]),
    ).toThrow(/2\^53/);
  });
});

describe('reading a manifest', () => {
  const nodes = new MemoryNodes();
  const model: Tree = new Map(Array.from({ length: 4000 }, (_, n): [string, Entry] => [pathOf(n), entryOf(n)]));
  const root = bulk(model, nodes);

  test('finds every entry that was set, and none that was not', () => {
    for (const [path, entry] of model) expect(show(getEntry(nodes, root, path))).toBe(show(entry));
    for (const path of ['', 'models', 'models/', 'zzz', '\0', pathOf(4001)].filter((p) => !p.endsWith('/') && p !== '\0')) {
      expect(getEntry(nodes, root, path)).toBeUndefined();
    }
    expect(getEntry(nodes, null, 'a')).toBeUndefined();
  });

  test('lists a folder as a filter of the whole would, by the bytes of the names', () => {
    for (const name of ['', 'models', 'models/a', 'models-a', 'модель', '\u{1f980}', '\u{1f980}/b', 'mod', 'nowhere']) {
      const expected = inKeyOrder(model).filter(([path]) => parentOf(path) === name);
      expect(lines(listFolder(nodes, root, name))).toEqual(lines(expected));
    }
    expect([...listFolder(nodes, null, '')]).toEqual([]);
  });

  test('walks a subtree as a filter of the whole would, folders before what is in them', () => {
    for (const name of ['', 'models', 'models/a', '\u{1f980}', 'nowhere']) {
      const expected = inKeyOrder(model).filter(([path]) => name === '' || path.startsWith(`${name}/`));
      expect(lines(walkTree(nodes, root, name))).toEqual(lines(expected));
    }
    const wellFormed: Tree = new Map([
      ['a', folder()],
      ['a-b', folder()],
      ['a/b', folder()],
      ['a-b/x', file(1)],
      ['a/b/c', folder()],
      ['a/b/c/d', file(2)],
      ['a/a', file(3)],
    ]);
    const seen = new Set(['']);
    for (const [path] of walkTree(nodes, bulk(wellFormed, nodes), '')) {
      expect(seen).toContain(parentOf(path));
      seen.add(path);
    }
    expect(seen.size).toBe(wellFormed.size + 1);
  });

  test('gives sums over files, links and folders', () => {
    const entries = [...model.values()];
    expect(totals(nodes, root)).toEqual({
      entries: entries.length,
      files: entries.filter((entry) => entry.type !== 'directory').length,
      sizeBytes: entries.reduce((sum, entry) => sum + (entry.type === 'file' ? entry.content.length : 0), 0),
    });
    expect(totals(nodes, null)).toEqual({ entries: 0, files: 0, sizeBytes: 0 });
  });

  test('refers to the top of every content and to every node below', () => {
    const references = [...nodes.objects.entries()].flatMap(([, bytes]) => decodeManifestNode(bytes).references());
    const ofTree = new MemoryNodes();
    bulk(model, ofTree);
    const inTree = [...ofTree.objects.values()].flatMap((bytes) => decodeManifestNode(bytes).references());
    expect(references.length).toBeGreaterThanOrEqual(inTree.length);
    expect(inTree.filter(({ kind }) => kind === ObjectKind.manifestNode).length).toBe(ofTree.objects.size - 1);
    const contents = [...model.values()].filter((entry) => entry.type === 'file' && entry.content.length > 0) as Extract<
      Entry,
      { type: 'file' }
    >[];
    expect(inTree.filter(({ kind }) => kind === ObjectKind.chunk).length).toBe(
      contents.filter(({ content }) => content.height === 0).length,
    );
    expect(inTree.filter(({ kind }) => kind === ObjectKind.contentNode).length).toBe(
      contents.filter(({ content }) => content.height > 0).length,
    );
  });
});

test('a modification time is no part of what an entry is', () => {
  expect(sameEntry(file(1, 1n), file(1, 2n))).toBe(true);
  expect(sameEntry(folder(1n), folder(2n))).toBe(true);
  expect(sameEntry(link('a', 1n), link('a', 2n))).toBe(true);
  for (const other of [undefined, file(2), file(1, 1n, true), folder(), link('a')]) expect(sameEntry(file(1), other)).toBe(false);
  expect(sameEntry(link('a'), link('b'))).toBe(false);
  expect(sameEntry(undefined, undefined)).toBe(true);
});
