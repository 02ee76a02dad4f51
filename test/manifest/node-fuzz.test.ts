import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DamageError } from '../../packages/core/src/errors.js';
import { buildContent } from '../../packages/core/src/content/build.js';
import { contentReferences, decodeContentNode } from '../../packages/core/src/content/node.js';
import { chunksOf } from '../../packages/core/src/content/read.js';
import { asDigest, type Digest } from '../../packages/core/src/hash/digest.js';
import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { diffManifests } from '../../packages/core/src/manifest/diff.js';
import { keyToPath, pathToKey } from '../../packages/core/src/manifest/keys.js';
import { decodeManifestNode } from '../../packages/core/src/manifest/node.js';
import { getEntry, walkTree } from '../../packages/core/src/manifest/read.js';
import { MalformedError } from '../../packages/core/src/util/bytes.js';
import { bulk, file, folder, link, type Tree } from '../support/manifest-trees.js';
import { MemoryNodes } from '../support/memory-nodes.js';

const model: Tree = new Map();
for (let n = 0; n < 400; n++) model.set(['a/b', 'ü', '..x'][n % 3] + `/${n}`, n % 7 === 0 ? folder() : n % 5 === 0 ? link('é') : file(n));
const manifest = new MemoryNodes();
const root = bulk(model, manifest) as Digest;
const content = new MemoryNodes();
const chunks = Array.from({ length: 3000 }, (_, n) => ({ digest: digestOf(Math.floor(n / 2)), length: 1 + (n >> 1) }));
const contentRef = buildContent(content, chunks);

function digestOf(n: number): Digest {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, Math.imul(n + 1, 0x9e3779b9));
  bytes[31] = Math.imul(n + 1, 0x85ebca6b) >>> 24;
  return asDigest(bytes);
}

/** Valid nodes with a few bytes changed, cut off or added, and bytes from nowhere. */
function mutated(nodes: MemoryNodes) {
  const originals = [...nodes.objects.values()];
  return fc.oneof(
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 300 }) },
    {
      weight: 5,
      arbitrary: fc
        .tuple(fc.nat(originals.length - 1), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.option(fc.nat()), fc.boolean())
        .map(([index, changes, cut, early]) => {
          const bytes = Uint8Array.from(originals[index] ?? []);
          for (const [at, value] of changes) bytes[at % (early ? Math.min(60, bytes.length) : bytes.length)] = value;
          return cut === null ? bytes : bytes.slice(0, cut % (bytes.length + 1));
        }),
    },
  );
}

describe('bytes from a stranger', () => {
  test('are a manifest node with sound paths and values, or malformed', () => {
    fc.assert(
      fc.property(mutated(manifest), (bytes) => {
        try {
          const node = decodeManifestNode(bytes);
          node.references();
          let last = '';
          node.keys.forEach((key, i) => {
            if (!(key > last)) throw new Error('keys out of order');
            last = key;
            if (pathToKey(keyToPath(key)) !== key) throw new Error(`no path: ${JSON.stringify(key)}`);
            if (node.level === 0) node.entry(i);
            else node.child(i);
          });
        } catch (error) {
          if (!(error instanceof MalformedError)) throw error;
        }
      }),
      { numRuns: 4000 },
    );
  });

  test('are a content node of known length, or malformed', () => {
    fc.assert(
      fc.property(mutated(content), (bytes) => {
        try {
          const node = decodeContentNode(bytes);
          let sum = 0;
          for (let i = 0; i < node.count; i++) {
            const { length, repeats } = node.entry(i);
            if (!Number.isInteger(repeats) || repeats < 1 || length < 1) throw new Error(`an entry of ${repeats} × ${length}`);
            sum += length * repeats;
          }
          expect(sum).toBe(node.length);
          expect(contentReferences(bytes).length).toBe(node.count);
        } catch (error) {
          if (!(error instanceof MalformedError)) throw error;
        }
      }),
      { numRuns: 4000 },
    );
  });

  test('in the place of any node give damage errors or a tree, never anything else', () => {
    const kinds = [...manifest.objects.keys()];
    fc.assert(
      fc.property(mutated(manifest), fc.nat(kinds.length - 1), (bytes, index) => {
        const forged = new MemoryNodes(new Map(manifest.objects));
        forged.objects.set(kinds[index] ?? '', bytes);
        for (const use of [
          () => [...walkTree(forged, root, '')],
          () => getEntry(forged, root, 'ü/4'),
          () => [...diffManifests(forged, root, null)],
        ]) {
          try {
            use();
          } catch (error) {
            if (!(error instanceof DamageError)) throw error;
          }
        }
      }),
      { numRuns: 300 },
    );
    const contents = [...content.objects.keys()];
    fc.assert(
      fc.property(mutated(content), fc.nat(contents.length - 1), (bytes, index) => {
        const forged = new MemoryNodes(new Map(content.objects));
        forged.objects.set(contents[index] ?? '', bytes);
        try {
          let length = 0;
          for (const chunk of chunksOf(forged, contentRef)) length += chunk.length;
          expect(length).toBe(contentRef.length);
        } catch (error) {
          if (!(error instanceof DamageError)) throw error;
        }
      }),
      { numRuns: 300 },
    );
  });

  test('that are a sound node in the wrong place are damage: level, range and sums are those that the parent gives', () => {
    const nodes = [...manifest.objects].map(([key, bytes]) => ({ key, node: decodeManifestNode(bytes) }));
    const leaves = nodes.filter(({ node }) => node.level === 0);
    expect(leaves.length).toBeGreaterThan(1);
    for (const { key } of leaves) {
      for (const other of nodes.filter((candidate) => candidate.key !== key)) {
        const forged = new MemoryNodes(new Map(manifest.objects));
        forged.objects.set(key, other.node.bytes);
        expect(() => [...walkTree(forged, root, '')]).toThrow(DamageError);
      }
    }
    const wrong = { ...contentRef, length: contentRef.length - 1 };
    expect(() => [...chunksOf(content, wrong)]).toThrow(DamageError);
    expect(() => [...chunksOf(content, { ...contentRef, height: contentRef.height + 1 })]).toThrow(DamageError);
    expect(() => [...chunksOf(new MemoryNodes(), contentRef)]).toThrow(DamageError);
  });

  test('cannot name a path that leaves the volume', () => {
    const node = (suffix: string): Uint8Array => {
      const key = Buffer.from(suffix, 'latin1');
      return Uint8Array.from([1, 0, 0, key.length, ...key, 2, 0, 0, 0, 0, 0, 0, 0, 0]);
    };
    expect(decodeManifestNode(node('a\0b')).keys).toEqual(['a\0b']);
    const bad = [
      '',
      'ab',
      '\0',
      'a\0',
      '\0..',
      '\0.',
      '..\0a',
      '.\0a',
      'a/..\0b',
      '../a\0b',
      './a\0b',
      '/a\0b',
      'a/\0b',
      'a//b\0c',
      '/\0b',
      'a\0b\0c',
      'a\0b/c',
      'a\\b\0c',
      'a\0\\',
      'a\0\xff',
      '\xc3\0b',
    ];
    for (const key of bad) expect(() => decodeManifestNode(node(key)), JSON.stringify(key)).toThrow(MalformedError);
    expect(() => decodeManifestNode(node(`\0${'x'.repeat(4097)}`))).toThrow(MalformedError);
    expect(() => decodeManifestNode(Uint8Array.from([1, 0]))).toThrow(MalformedError);
    expect(() => decodeManifestNode(Uint8Array.from([2, 0]))).toThrow(/version/);
  });
});

test('forging needs the right kind of object', () => {
  const nodes = new MemoryNodes();
  nodes.forge(ObjectKind.contentNode, root, manifest.get(ObjectKind.manifestNode, root));
  expect(() => getEntry(nodes, root, 'ü/4')).toThrow(DamageError);
});
