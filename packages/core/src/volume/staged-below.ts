import type { ContentRef } from '../content/content.js';
import { digestToHex } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { ManifestRoot } from '../manifest/entry.js';
import type { Reference } from '../snapshot/references.js';
import { contentReference, referencesOf } from '../snapshot/references.js';
import type { StagedObject, Staging } from '../objects/staging.js';

/**
 * The staged objects that a tree, and the contents of open files, need. What is published refers to nothing staged, so
 * the walk ends there, and costs by what is new.
 */
export function* stagedBelow(staging: Staging, root: ManifestRoot, contents: Iterable<ContentRef> = []): Generator<StagedObject> {
  const waiting: Reference[] = root === null ? [] : [{ kind: ObjectKind.manifestNode, digest: root }];
  for (const content of contents) waiting.push(...[contentReference(content)].filter((reference) => reference !== undefined));
  const seen = new Set<string>();
  for (let reference = waiting.pop(); reference !== undefined; reference = waiting.pop()) {
    const object = staging.staged(reference.kind, reference.digest);
    if (object === undefined) continue;
    const key = `${object.kind}${digestToHex(object.digest)}`;
    if (seen.has(key)) continue;
    seen.add(key);
    yield object;
    for (const below of referencesOf(object.kind, object.bytes)) waiting.push(below);
  }
}
