import { contentReferences } from '../content/node.js';
import type { ContentRef } from '../content/content.js';
import type { Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import { decodeManifestNode } from '../manifest/node.js';
import { decodeSnapshotRecord } from './record.js';

/** An object that another one needs. */
export interface Reference {
  kind: ObjectKind;
  digest: Digest;
}

/** What an object refers to directly; a chunk refers to nothing. @throws MalformedError or DamageError on altered bytes. */
export function referencesOf(kind: ObjectKind, bytes: Uint8Array): Reference[] {
  switch (kind) {
    case ObjectKind.chunk:
      return [];
    case ObjectKind.contentNode:
      return contentReferences(bytes);
    case ObjectKind.manifestNode:
      return decodeManifestNode(bytes).references();
    case ObjectKind.snapshot: {
      const { root } = decodeSnapshotRecord(bytes);
      return root === null ? [] : [{ kind: ObjectKind.manifestNode, digest: root }];
    }
  }
}

/** The object at the top of a content: a node, its only chunk, or nothing when it is empty. */
export function contentReference(content: ContentRef): Reference | undefined {
  if (content.length === 0) return undefined;
  return { kind: content.height === 0 ? ObjectKind.chunk : ObjectKind.contentNode, digest: content.root };
}
