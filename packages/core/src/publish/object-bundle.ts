import { DamageError } from '../errors.js';
import { copyDigest, DIGEST_BYTES, digestsEqual } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { type ObjectKind, isObjectKind } from '../hash/object-kind.js';
import type { StagedObject } from '../objects/staging.js';

/** Staged objects on their way to the publishing thread: one piece of memory, transferred; the sender keeps its own. */
export type ObjectBundle = Uint8Array<ArrayBuffer>;

/* Per object: kind:1 digest:32 length:4 (little-endian), then the bytes. */
const HEADER_BYTES = 1 + DIGEST_BYTES + 4;

export function bundleObjects(objects: Iterable<StagedObject>): ObjectBundle {
  const all = [...objects];
  const bundle = new Uint8Array(all.reduce((sum, { bytes }) => sum + HEADER_BYTES + bytes.byteLength, 0));
  const view = new DataView(bundle.buffer);
  let at = 0;
  for (const { kind, digest, bytes } of all) {
    bundle[at] = kind;
    bundle.set(digest, at + 1);
    view.setUint32(at + 1 + DIGEST_BYTES, bytes.byteLength, true);
    bundle.set(bytes, at + HEADER_BYTES);
    at += HEADER_BYTES + bytes.byteLength;
  }
  return bundle;
}

/** The objects, as views. @throws DamageError when bytes and digest do not match: memory was written to that should not have been. */
export function unbundleObjects(bundle: ObjectBundle, hasher: Hasher): StagedObject[] {
  const objects: StagedObject[] = [];
  const view = new DataView(bundle.buffer, bundle.byteOffset, bundle.byteLength);
  for (let at = 0; at < bundle.byteLength;) {
    const kind = bundle[at] as ObjectKind;
    const digest = copyDigest(bundle, at + 1);
    const start = at + HEADER_BYTES;
    at = start + view.getUint32(at + 1 + DIGEST_BYTES, true);
    const bytes = bundle.subarray(start, at);
    if (!isObjectKind(kind) || !digestsEqual(hasher.digest(bytes), digest)) {
      throw new DamageError('an object was altered in memory before it was stored; nothing was published', []);
    }
    objects.push({ kind, digest, bytes });
  }
  return objects;
}
