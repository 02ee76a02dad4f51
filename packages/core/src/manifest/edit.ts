import type { Digest } from '../hash/digest.js';
import type { NodeSink, NodeSource } from '../objects/node-store.js';
import type { Entry, ManifestRoot } from './entry.js';
import { pathToKey, type Key } from './keys.js';
import { LevelEdit, sortEdits } from './level-edit.js';
import { readManifestNode } from './node-cache.js';
import type { ChildRef } from './node.js';

/**
 * The manifest with these entries set, or removed where null; a path given twice counts as given last, and removing
 * what is not there changes nothing. The root depends on the resulting entries only, not on how they came about.
 * One pass per level over the nodes that change. The structure is not checked: folders are the caller's to set.
 *
 * @throws InvalidPathError for a path that `pathToKey` refuses; DamageError
 */
export function editManifest(
  source: NodeSource,
  sink: NodeSink,
  root: ManifestRoot,
  edits: Iterable<readonly [path: string, entry: Entry | null]>,
): ManifestRoot {
  const keys: Key[] = [];
  const entries: (Entry | null)[] = [];
  for (const [path, entry] of edits) {
    keys.push(pathToKey(path));
    entries.push(entry);
  }
  if (keys.length === 0) return root;

  const leaves = new LevelEdit<Entry>(sink, 0, (writer, key, entry) => writer.addEntry(key, entry));
  leaves.run(source, root, sortEdits(keys, entries));
  if (leaves.isEmpty) return null;
  let below = leaves.changes;
  for (let level = 1; below.size > 0; level++) {
    const nodes = new LevelEdit<ChildRef>(sink, level, (writer, key, child) => writer.addChild(key, child));
    nodes.run(source, root, sortEdits([...below.keys()], [...below.values()]));
    const { onlyChild } = nodes;
    // A node written just now has several items; one that was there before may be the end of a level, with one.
    if (onlyChild !== undefined) return onlyChild.isNew ? onlyChild.digest : lowered(source, onlyChild.digest);
    below = nodes.changes;
  }
  return root;
}

/** The same tree without the nodes at the top that have one child only. */
function lowered(source: NodeSource, root: Digest): Digest {
  const node = readManifestNode(source, root);
  return node.level > 0 && node.count === 1 ? lowered(source, node.child(0).digest) : root;
}
