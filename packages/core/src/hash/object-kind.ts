import { DIGEST_BYTES, type Digest } from './digest.js';

/**
 * What an object is. The kind is part of an object's key in the index and of its row in a pack's
 * table, so that a chunk whose bytes look like a node can never be taken for one.
 */
export const ObjectKind = { chunk: 0, contentNode: 1, manifestNode: 2, snapshot: 3 } as const;
export type ObjectKind = (typeof ObjectKind)[keyof typeof ObjectKind];

export function isObjectKind(value: number): value is ObjectKind {
  return Number.isInteger(value) && value >= 0 && value <= 3;
}

const SCRATCH = Buffer.alloc(1 + DIGEST_BYTES);

/** An object as a Map key: one character per byte of kind and digest. */
export function objectMapKey(kind: ObjectKind, digest: Digest): string {
  SCRATCH[0] = kind;
  SCRATCH.set(digest, 1);
  return SCRATCH.toString('latin1');
}
