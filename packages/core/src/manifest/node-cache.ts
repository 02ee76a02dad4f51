import { DamageError } from '../errors.js';
import { digestKey, digestToHex, type Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { NodeSource } from '../objects/node-store.js';
import { MalformedError } from '../util/bytes.js';
import type { Key } from './keys.js';
import { decodeManifestNode, type ChildRef, type ManifestNode } from './node.js';

/** Encoded bytes of the nodes that stay decoded per source; decoded they take about four times that. */
const CACHE_BYTES = 1 << 20;

/** Decoded nodes by digest, the least recently used dropped first. */
class NodeCache {
  private readonly nodes = new Map<string, ManifestNode>();
  private bytes = 0;

  get(id: string): ManifestNode | undefined {
    const node = this.nodes.get(id);
    if (node !== undefined) {
      this.nodes.delete(id);
      this.nodes.set(id, node);
    }
    return node;
  }

  add(id: string, node: ManifestNode): void {
    this.nodes.set(id, node);
    this.bytes += node.bytes.byteLength;
    for (const [oldest, { bytes }] of this.nodes) {
      if (this.bytes <= CACHE_BYTES) break;
      this.nodes.delete(oldest);
      this.bytes -= bytes.byteLength;
    }
  }
}

/** One cache for a source and all that lie on top of it, gone with it. A node never changes, so nothing in it grows old. */
const CACHES = new WeakMap<NodeSource, NodeCache>();

/** @throws DamageError when the node is missing or malformed */
export function readManifestNode(source: NodeSource, digest: Digest): ManifestNode {
  const owner = source.beneath ?? source;
  let cache = CACHES.get(owner);
  if (cache === undefined) CACHES.set(owner, (cache = new NodeCache()));
  const id = digestKey(digest);
  let node = cache.get(id);
  if (node === undefined) {
    node = decodeOrDamage(digest, source.get(ObjectKind.manifestNode, digest));
    cache.add(id, node);
  }
  return node;
}

/** What a parent says of a child: besides its sums, the range (after, lastKey] of its keys; `after` undefined is no bound. */
export interface Expected {
  level: number;
  after: Key | undefined;
  lastKey: Key;
}

/**
 * Reads a node that a parent refers to, and checks what the parent says of it.
 *
 * @throws DamageError when the node is missing, malformed, or something else than was said
 */
export function readChildNode(source: NodeSource, ref: ChildRef, expected: Expected): ManifestNode {
  const node = readManifestNode(source, ref.digest);
  const fault = faultOf(node, ref, expected);
  if (fault !== undefined) throw damagedNode(ref.digest, fault);
  return node;
}

function faultOf(node: ManifestNode, ref: ChildRef, { level, after, lastKey }: Expected): string | undefined {
  if (node.level !== level) return `its level is ${node.level} and not ${level}`;
  if (node.lastKey !== lastKey || (after !== undefined && node.keys[0]! <= after))
    return 'its keys are out of the range that its parent gives';
  const { entries, files, sizeBytes } = node.totals;
  if (entries !== ref.entries || files !== ref.files || sizeBytes !== ref.sizeBytes) return 'its sums are not those that its parent gives';
  return undefined;
}

function decodeOrDamage(digest: Digest, bytes: Uint8Array): ManifestNode {
  try {
    return decodeManifestNode(bytes);
  } catch (error) {
    if (error instanceof MalformedError) throw damagedNode(digest, error.message, error);
    throw error;
  }
}

function damagedNode(digest: Digest, fault: string, cause?: unknown): DamageError {
  const id = digestToHex(digest);
  return new DamageError(`manifest node ${id} is damaged: ${fault}`, [{ kind: 'node', id, affects: [] }], cause);
}
