import type { NodeSource } from '../objects/node-store.js';
import { descend } from './descend.js';
import type { Entry, ManifestRoot } from './entry.js';
import { childrenPrefix, descendantsPrefix, keyToPath, pathToKey, successor, type Key } from './keys.js';
import { readManifestNode } from './node-cache.js';
import type { Totals } from './node.js';

/**
 * What is at `path`; undefined where there is nothing, and for '', the root folder, which has no entry. Reads one node per level.
 *
 * @throws InvalidPathError, DamageError
 */
export function getEntry(source: NodeSource, root: ManifestRoot, path: string): Entry | undefined {
  if (root === null || path === '') return undefined;
  const key = pathToKey(path);
  const { node } = descend(source, root, 0, key);
  const index = node.lowerBound(key);
  return node.keys[index] === key ? node.entry(index) : undefined;
}

/**
 * The children of a folder ('' is the root), ordered by the UTF-8 bytes of their names; none when there is no such folder.
 * Reads the nodes that hold them, as the iteration goes on, and none of what lies below its subfolders.
 */
export function listFolder(
  source: NodeSource,
  root: ManifestRoot,
  folder: string,
): Generator<[path: string, entry: Entry], void, undefined> {
  return withPrefix(source, root, childrenPrefix(folder));
}

/**
 * All that lies below a folder ('' is the root), each folder before what is in it: first the folder's children, then the
 * children of each of its subfolders, subfolders in the byte order of their paths. Read as the iteration goes on.
 */
export function* walkTree(
  source: NodeSource,
  root: ManifestRoot,
  folder: string,
): Generator<[path: string, entry: Entry], void, undefined> {
  if (folder !== '') yield* withPrefix(source, root, childrenPrefix(folder));
  yield* withPrefix(source, root, descendantsPrefix(folder));
}

/** Sums over all entries, from the top node alone. */
export function totals(source: NodeSource, root: ManifestRoot): Totals {
  return root === null ? { entries: 0, files: 0, sizeBytes: 0 } : { ...readManifestNode(source, root).totals };
}

function* withPrefix(source: NodeSource, root: ManifestRoot, prefix: Key): Generator<[path: string, entry: Entry], void, undefined> {
  if (root === null) return;
  let from = prefix;
  for (;;) {
    const { node, isLast } = descend(source, root, 0, from);
    for (let i = node.lowerBound(from); i < node.count; i++) {
      const key = node.keys[i]!;
      if (!key.startsWith(prefix)) return;
      yield [keyToPath(key), node.entry(i)];
    }
    if (isLast) return;
    from = successor(node.lastKey);
  }
}
