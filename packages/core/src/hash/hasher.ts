import type { Digest } from './digest.js';

export type HashImplementation = 'native' | 'portable';

/** BLAKE3-256. Both implementations give identical digests; a hasher is used by one thread. */
export interface Hasher {
  readonly implementation: HashImplementation;
  /** Digest of `bytes`, in memory of its own. */
  digest(bytes: Uint8Array): Digest;
  /** Writes the 32-byte digest of `bytes` at `target[offset]`. */
  digestInto(bytes: Uint8Array, target: Uint8Array, offset: number): void;
}
