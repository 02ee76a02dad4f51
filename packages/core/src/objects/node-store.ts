import type { Digest } from '../hash/digest.js';
import type { ObjectKind } from '../hash/object-kind.js';

/** Where trees read their nodes from. Synchronous on purpose: nodes are small and nearly always cached. */
export interface NodeSource {
  /**
   * The verified logical bytes of an object, never changed afterwards by either side.
   *
   * @throws DamageError when the object is missing or its bytes do not give its digest
   */
  get(kind: ObjectKind, digest: Digest): Uint8Array;
  /**
   * The source whose decoded nodes serve this one, too: that which it lies on top of, and which outlives it. A digest has one node,
   * wherever that is read.
   */
  readonly beneath?: NodeSource;
}

/** Where trees write their nodes to. Equal bytes give equal digests, so writing a node twice is harmless. */
export interface NodeSink {
  /** Takes over `bytes`, which must not change afterwards, and returns their digest. */
  put(kind: ObjectKind, bytes: Uint8Array): Digest;
}
