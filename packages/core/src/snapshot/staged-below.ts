import type { ContentRef } from '../content/content.js';
import { ObjectKind, objectMapKey } from '../hash/object-kind.js';
import type { ManifestRoot } from '../manifest/entry.js';
import { readManifestNode } from '../manifest/node-cache.js';
import type { StagedObject, Staging } from '../objects/staging.js';
import { contentReference, type Reference, referencesOf } from './references.js';

/**
 * The staged objects that a tree, and the contents of open files, need. What is published refers to nothing staged, so
 * the walk ends there, and costs by what is new.
 */
export function* stagedBelow(staging: Staging, root: ManifestRoot, contents: Iterable<ContentRef> = []): Generator<StagedObject> {
  const waiting: Reference[] = root === null ? [] : [{ kind: ObjectKind.manifestNode, digest: root }];
  for (const content of contents) {
    const reference = contentReference(content);
    if (reference !== undefined) waiting.push(reference);
  }
  const seen = new Set<string>();
  for (let reference = waiting.pop(); reference !== undefined; reference = waiting.pop()) {
    const object = staging.staged(reference.kind, reference.digest);
    if (object === undefined) continue;
    const key = objectMapKey(object.kind, object.digest);
    if (seen.has(key)) continue;
    seen.add(key);
    yield object;
    if (isLeaf(object) && !staging.holds(ObjectKind.chunk) && !staging.holds(ObjectKind.contentNode)) continue;
    // The last one first, since the end is taken first: a file's chunks then lie in its order.
    for (const below of referencesIn(staging, object).reverse()) waiting.push(below);
  }
}

function referencesIn(staging: Staging, { kind, digest, bytes }: StagedObject): Reference[] {
  if (kind !== ObjectKind.manifestNode) return referencesOf(kind, bytes);
  // Mostly it is decoded already, for the edit or a diff.
  return readManifestNode(staging, digest).references((...object) => staging.mayHold(...object));
}

/** Whether it is a manifest node of level 0: a tree has many, with a hundred references each. */
function isLeaf({ kind, bytes }: StagedObject): boolean {
  return kind === ObjectKind.manifestNode && bytes[1] === 0;
}
