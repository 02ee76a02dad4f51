import { createHasher } from '../../packages/core/src/hash/blake3.js';
import { digestToHex, type Digest, type DigestHex } from '../../packages/core/src/hash/digest.js';
import type { ObjectKind } from '../../packages/core/src/hash/object-kind.js';
import type { NodeSink, NodeSource } from '../../packages/core/src/objects/node-store.js';
import { DamageError } from '../../packages/core/src/errors.js';

/** The in-memory twin of the object store for tree nodes; counts the distinct nodes that an operation reads and writes. */
export class MemoryNodes implements NodeSource, NodeSink {
  readonly objects: Map<string, Uint8Array>;
  private readonly hasher = createHasher('auto');
  private readonly readKeys = new Set<string>();
  private readonly writtenKeys = new Set<string>();

  constructor(objects = new Map<string, Uint8Array>()) {
    this.objects = objects;
  }

  get(kind: ObjectKind, digest: Digest): Uint8Array {
    const key = keyOf(kind, digestToHex(digest));
    this.readKeys.add(key);
    const bytes = this.objects.get(key);
    if (bytes === undefined) throw new DamageError(`no object ${key}`, [{ kind: 'node', id: key, affects: [] }]);
    return bytes;
  }

  put(kind: ObjectKind, bytes: Uint8Array): Digest {
    const digest = this.hasher.digest(bytes);
    const key = keyOf(kind, digestToHex(digest));
    this.writtenKeys.add(key);
    this.objects.set(key, bytes);
    return digest;
  }

  /** Puts bytes under a digest that is not theirs: what a verified source never does, for tests of damage. */
  forge(kind: ObjectKind, digest: Digest, bytes: Uint8Array): void {
    this.objects.set(keyOf(kind, digestToHex(digest)), bytes);
  }

  /** What `work` reads and writes, each node once. */
  count<T>(work: () => T): { result: T; read: number; written: number } {
    this.readKeys.clear();
    this.writtenKeys.clear();
    const result = work();
    return { result, read: this.readKeys.size, written: this.writtenKeys.size };
  }

  /** A second view on the same objects, for which nothing has been decoded and cached yet. */
  cold(): MemoryNodes {
    return new MemoryNodes(this.objects);
  }
}

function keyOf(kind: ObjectKind, hex: DigestHex): string {
  return `${kind}:${hex}`;
}
