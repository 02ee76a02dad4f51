import type { Digest } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import { objectMapKey, type ObjectKind } from '../hash/object-kind.js';
import type { NodeSink, NodeSource } from './node-store.js';

/** An object that is in no pack yet. */
export interface StagedObject {
  kind: ObjectKind;
  digest: Digest;
  bytes: Uint8Array;
}

/** Published objects, and whether there are any: what staging lies on top of. */
export interface PublishedObjects extends NodeSource {
  has(kind: ObjectKind, digest: Digest): boolean;
}

/**
 * Objects made by a handle and not published yet, readable together with those that are. Dropping objects never takes
 * them from a reader that began before: it holds a pinned view.
 */
export class Staging implements NodeSource, NodeSink {
  private readonly published: PublishedObjects;
  private readonly hasher: Hasher;
  private held = new Map<string, StagedObject>();
  private bytes = 0;
  /** First bytes of what is staged of each kind: most of the thousands of objects that are asked for are not. */
  private prefixes = new Map<ObjectKind, Set<number>>();

  constructor(published: PublishedObjects, hasher: Hasher) {
    this.published = published;
    this.hasher = hasher;
  }

  get sizeBytes(): number {
    return this.bytes;
  }

  get beneath(): NodeSource {
    return this.published.beneath ?? this.published;
  }

  /** Stages an object, unless it is staged or published already; `bytes` are handed over. */
  put(kind: ObjectKind, bytes: Uint8Array): Digest {
    const digest = this.hasher.digest(bytes);
    this.add({ kind, digest, bytes });
    return digest;
  }

  get(kind: ObjectKind, digest: Digest): Uint8Array {
    return this.staged(kind, digest)?.bytes ?? this.published.get(kind, digest);
  }

  staged(kind: ObjectKind, digest: Digest): StagedObject | undefined {
    return this.prefixes.get(kind)?.has(prefixAt(digest, 0)) === true ? this.held.get(objectMapKey(kind, digest)) : undefined;
  }

  /** False when the object, whose digest lies at `at` of some bytes, is certainly not staged. */
  mayHold(kind: ObjectKind, bytes: Uint8Array, at: number): boolean {
    return this.prefixes.get(kind)?.has(prefixAt(bytes, at)) === true;
  }

  /** Whether anything of a kind is staged. */
  holds(kind: ObjectKind): boolean {
    return this.prefixes.has(kind);
  }

  /** An empty staging on top of the same published objects, for work that is not part of the handle's tree yet. */
  aside(): Staging {
    return new Staging(this.published, this.hasher);
  }

  /** Takes over what was staged aside. */
  adopt(other: Staging): void {
    for (const object of other.held.values()) this.add(object);
  }

  /** Hands over what is staged, and is empty then. */
  drain(): StagedObject[] {
    const objects = [...this.held.values()];
    this.replaceWith([]);
    return objects;
  }

  /** What is readable now, whatever is dropped later. */
  pinned(): NodeSource {
    const { held, published, beneath } = this;
    return { beneath, get: (kind, digest) => held.get(objectMapKey(kind, digest))?.bytes ?? published.get(kind, digest) };
  }

  /** Drops everything but these objects. */
  replaceWith(objects: Iterable<StagedObject>): void {
    // A new map: pinned views go on with the old one.
    this.held = new Map();
    this.prefixes = new Map();
    this.bytes = 0;
    for (const object of objects) this.add(object);
  }

  /** Stages an object whose digest is known, unless it is staged or published already. */
  add(object: StagedObject): void {
    const key = objectMapKey(object.kind, object.digest);
    if (this.held.has(key) || this.published.has(object.kind, object.digest)) return;
    this.held.set(key, object);
    const prefixes = this.prefixes.get(object.kind);
    if (prefixes === undefined) this.prefixes.set(object.kind, new Set([prefixAt(object.digest, 0)]));
    else prefixes.add(prefixAt(object.digest, 0));
    this.bytes += object.bytes.byteLength;
  }
}

function prefixAt(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16);
}
