import type { NodeSource } from '../objects/node-store.js';
import type { ManifestRoot } from './entry.js';
import type { Key } from './keys.js';
import { readChildNode, readManifestNode } from './node-cache.js';
import type { ManifestNode } from './node.js';

/** A node at its place in a tree. */
export interface NodeAt {
  node: ManifestNode;
  /** The last key of the node to the left; undefined for the first node of its level. */
  low: Key | undefined;
  /** Whether it is the last node of its level. */
  isLast: boolean;
}

/**
 * The node of `level` that holds `key` or would take it in: the first whose last key is `key` or greater, else the
 * last one. `level` must not be above the root's.
 */
export function descend(source: NodeSource, root: NonNullable<ManifestRoot>, level: number, key: Key): NodeAt {
  const known = level === 0 ? lastLeaves.get(source) : undefined;
  if (known?.root === root && holds(known.leaf, key)) return { ...known.leaf };
  const at = walkDown(source, root, level, key);
  if (level === 0) lastLeaves.set(source, { root, leaf: { ...at } });
  return at;
}

/** Where the last look-up of each source ended: the next one is often for the next path. Nodes never change, nor do roots. */
const lastLeaves = new WeakMap<NodeSource, { root: NonNullable<ManifestRoot>; leaf: NodeAt }>();

function holds({ node, low, isLast }: NodeAt, key: Key): boolean {
  return (low === undefined || low < key) && (isLast || key <= node.lastKey);
}

function walkDown(source: NodeSource, root: NonNullable<ManifestRoot>, level: number, key: Key): NodeAt {
  const at: NodeAt = { node: readManifestNode(source, root), low: undefined, isLast: true };
  while (at.node.level > level) {
    const parent = at.node;
    const last = parent.count - 1;
    const index = Math.min(parent.lowerBound(key), last);
    if (index > 0) at.low = parent.keys[index - 1];
    at.isLast &&= index === last;
    at.node = readChildNode(source, parent.child(index), { level: parent.level - 1, after: at.low, lastKey: parent.keys[index]! });
  }
  return at;
}
