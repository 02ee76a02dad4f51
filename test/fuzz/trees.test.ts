import { describe } from 'vitest';
import { buildContent } from '../../packages/core/src/content/build.js';
import { decodeContentNode, encodeContentNode } from '../../packages/core/src/content/node.js';
import { asDigest, type Digest } from '../../packages/core/src/hash/digest.js';
import { keyToPath, pathToKey } from '../../packages/core/src/manifest/keys.js';
import { decodeManifestNode } from '../../packages/core/src/manifest/node.js';
import { NodeWriter } from '../../packages/core/src/manifest/node-writer.js';
import { decodeSnapshotRecord, encodeSnapshotRecord, type SnapshotRecord } from '../../packages/core/src/snapshot/record.js';
import { bulk, file, folder, link, type Tree } from '../support/manifest-trees.js';
import { MemoryNodes } from '../support/memory-nodes.js';
import { fuzz } from './fuzz.js';

function digestOf(n: number): Digest {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, Math.imul(n + 1, 0x9e3779b9));
  bytes[31] = Math.imul(n + 1, 0x85ebca6b) >>> 24;
  return asDigest(bytes);
}

/** The nodes of trees small and large, the smaller ones first. */
function contentNodes(): Uint8Array[] {
  const nodes = new MemoryNodes();
  for (const count of [2, 5, 300, 9000])
    buildContent(
      nodes,
      Array.from({ length: count }, (_, n) => ({ digest: digestOf(n >> 1), length: 1 + (n >> 1) * (count % 7) })),
    );
  return shortest(nodes, 14);
}

function manifestNodes(): Uint8Array[] {
  const nodes = new MemoryNodes();
  for (const count of [1, 4, 30, 900]) {
    const tree: Tree = new Map();
    for (let n = 0; n < count; n++)
      tree.set(
        `${['a/b', 'ü', '..x', 'models'][n % 4]!}/${n}`,
        n % 7 === 0 ? folder(-5n) : n % 5 === 0 ? link('../é') : file(n, 3n, n % 2 === 0),
      );
    bulk(tree, nodes);
  }
  return shortest(nodes, 14);
}

function shortest(nodes: MemoryNodes, count: number): Uint8Array[] {
  return [...nodes.objects.values()].sort((a, b) => a.length - b.length).slice(0, count);
}

const RECORD: SnapshotRecord = {
  volumeId: '00112233445566778899aabbccddeeff' as SnapshotRecord['volumeId'],
  generation: 7,
  parent: digestOf(1),
  root: digestOf(2),
  createdAtMs: 1_700_000_000_000,
  newBytes: 123_456,
  message: 'step 1000, löss 0.3',
  metadata: { loss: 0.25, step: 1000, final: true, kept: false, note: 'ünicode', __proto__x: 1, '': '' },
};

const RECORDS = [
  RECORD,
  { ...RECORD, parent: null, root: null, message: '', metadata: {} },
  { ...RECORD, metadata: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`key ${i}`, i / 3])) },
].map(encodeSnapshotRecord);

describe('nodes and records', () => {
  fuzz({
    name: 'content node',
    share: 100,
    samples: contentNodes(),
    fields: () => [{ at: 1, bytes: 1 }, { at: 2, bytes: 1 }, { at: 2, bytes: 2 }], // prettier-ignore
    check(bytes) {
      const node = decodeContentNode(bytes);
      const entries = Array.from({ length: node.count }, (_, i) => node.entry(i));
      const sum = entries.reduce((all, { length, repeats }) => all + length * repeats, 0);
      if (sum !== node.length || node.start(node.count) !== sum) throw new Error(`${sum} bytes in a node of ${node.length}`);
      for (const { length, repeats } of entries)
        if (!Number.isSafeInteger(repeats) || repeats < 1 || length < 1) throw new Error(`${repeats} times ${length} bytes`);
      expectSame(encodeContentNode(node.level, entries), bytes);
    },
    memory: { perByte: 24, fixed: 1000 },
  });

  fuzz({
    name: 'manifest node',
    share: 130,
    samples: manifestNodes(),
    tokens: ['\0..', '../', './', '\0.', '//', '\0\0', '\\', '\0a', 'a/', '\xc3', '\xff', '\0CON', '\0C:', '/'].map((text) =>
      Buffer.from(text, 'latin1'),
    ),
    fields: () => [{ at: 1, bytes: 1 }, { at: 3, bytes: 1 }, { at: 2, bytes: 2 }], // prettier-ignore
    check(bytes) {
      const node = decodeManifestNode(bytes);
      node.references();
      const writer = new NodeWriter(node.level);
      let last = '';
      node.keys.forEach((key, i) => {
        const path = keyToPath(key);
        if (!(key > last) || pathToKey(path) !== key) throw new Error(`a key that is none: ${JSON.stringify(key)}`);
        if (path.startsWith('/') || /(^|[/\\])\.\.?([/\\]|$)|\0|\\|\/\//.test(path))
          throw new Error(`a path that leads elsewhere: ${JSON.stringify(path)}`);
        last = key;
        if (node.level === 0) writer.addEntry(key, node.entry(i));
        else writer.addChild(key, node.child(i));
      });
      const { entries, files, sizeBytes } = writer.totals;
      if (entries !== node.totals.entries || files !== node.totals.files || sizeBytes !== node.totals.sizeBytes)
        throw new Error('other sums');
      expectSame(writer.finish(), bytes);
    },
    memory: { perByte: 60, fixed: 140_000 },
  });

  fuzz({
    name: 'snapshot record',
    share: 90,
    samples: RECORDS,
    tokens: ['\x09__proto__\x01', '\x00', '\x02', '\x03', '\xef\xbb\xbf', '\xed\xa0\x80'].map((text) => Buffer.from(text, 'latin1')),
    fields: () => [{ at: 1, bytes: 1 }, { at: 18, bytes: 1 }], // prettier-ignore
    check(bytes) {
      expectSame(encodeSnapshotRecord(decodeSnapshotRecord(bytes)), bytes);
    },
    memory: { perByte: 12, fixed: 4000 },
  });
});

function expectSame(written: Uint8Array, read: Uint8Array): void {
  if (Buffer.compare(written, read) !== 0) throw new Error(`read, and written as ${Buffer.from(written).toString('hex', 0, 2000)}`);
}
