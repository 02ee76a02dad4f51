import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { buildContent } from '../../packages/core/src/content/build.js';
import { contentId, type ChunkRef } from '../../packages/core/src/content/content.js';
import { chunksOf } from '../../packages/core/src/content/read.js';
import { asDigest, digestFromHex, digestToHex, type Digest } from '../../packages/core/src/hash/digest.js';
import { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import { editManifest } from '../../packages/core/src/manifest/edit.js';
import type { Entry } from '../../packages/core/src/manifest/entry.js';
import { getEntry, totals, walkTree } from '../../packages/core/src/manifest/read.js';
import { lines } from '../support/manifest-trees.js';
import { MemoryNodes } from '../support/memory-nodes.js';

/** Made once: whatever the code becomes, it has to read these bytes as it did, and to write the same ones. */
interface Golden {
  content: { id: string; node: string };
  manifest: { root: string; node: string };
  large: { contentId: string; manifestRoot: string; manifestNodes: number };
}
const golden = JSON.parse(readFileSync(new URL('../vectors/tree-nodes-v1.json', import.meta.url), 'utf8')) as Golden;

/** 32 bytes that follow from a number by a rule simple enough for any language: byte i is the top byte of (n * 8 + i) * 2654435761 mod 2^32. */
function digestOf(n: number): Digest {
  return asDigest(Uint8Array.from({ length: 32 }, (_, i) => Math.imul(n * 8 + i, 2654435761) >>> 24));
}

const chunks: ChunkRef[] = [1, 2, 2, 2, 3].map((n) => ({ digest: digestOf(n), length: n * 100_000 }));

const entries: [string, Entry][] = [
  ['models', { type: 'directory', mtimeNs: 0n }],
  [
    'models/été.bin',
    { type: 'file', executable: false, mtimeNs: 1_700_000_000_123_456_789n, content: { height: 1, root: digestOf(5), length: 70_000_000 } },
  ],
  ['models/run.sh', { type: 'file', executable: true, mtimeNs: -1n, content: { height: 0, root: digestOf(6), length: 12 } }],
  ['models/latest', { type: 'symlink', mtimeNs: 1n, target: 'été.bin' }],
];

describe('the bytes of format version 1', () => {
  test('of a content node', () => {
    const nodes = new MemoryNodes();
    const ref = buildContent(nodes, chunks);
    expect({ id: contentId(ref), node: Buffer.from(nodes.get(ObjectKind.contentNode, ref.root)).toString('hex') }).toEqual(golden.content);
    const read = new MemoryNodes();
    read.put(ObjectKind.contentNode, Buffer.from(golden.content.node, 'hex'));
    expect([...chunksOf(read, ref)].map(({ digest, length }) => ({ digest, length }))).toEqual(chunks);
  });

  test('of a manifest node', () => {
    const nodes = new MemoryNodes();
    const root = editManifest(nodes, nodes, null, entries);
    if (root === null) throw new Error('no root');
    expect({ root: digestToHex(root), node: Buffer.from(nodes.get(ObjectKind.manifestNode, root)).toString('hex') }).toEqual(
      golden.manifest,
    );
    const read = new MemoryNodes();
    read.put(ObjectKind.manifestNode, Buffer.from(golden.manifest.node, 'hex'));
    expect(lines(walkTree(read, digestFromHex(golden.manifest.root), '')).sort()).toEqual(lines(entries).sort());
    expect(getEntry(read, digestFromHex(golden.manifest.root), 'models/été.bin')).toEqual(entries[1]?.[1]);
  });

  test('of trees of several levels: node ends included', () => {
    const nodes = new MemoryNodes();
    const many = Array.from({ length: 30_000 }, (_, n) => ({ digest: digestOf(n * 7919), length: 1 + (n % 5) }));
    const files = Array.from({ length: 30_000 }, (_, n): [string, Entry] => [
      `d${n % 10}/é${n}`,
      { type: 'file', executable: false, mtimeNs: 0n, content: { height: 0, root: digestOf(n), length: n } },
    ]);
    const contents = contentId(buildContent(nodes, many));
    const manifest = new MemoryNodes();
    const root = editManifest(manifest, manifest, null, files);
    expect({ contentId: contents, manifestRoot: root === null ? '' : digestToHex(root), manifestNodes: manifest.objects.size }).toEqual(
      golden.large,
    );
    expect(totals(manifest, root)).toEqual({ entries: 30_000, files: 30_000, sizeBytes: (30_000 * 29_999) / 2 });
  });
});
