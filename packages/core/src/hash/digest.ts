import type { Brand } from '../util/brand.js';

/** BLAKE3-256 of an object's logical bytes: 32 bytes. Never mutated once made. */
export type Digest = Brand<Uint8Array, 'Digest'>;

/** A digest as 64 lowercase hex digits: for Map keys, file names and people. */
export type DigestHex = Brand<string, 'DigestHex'>;

export const DIGEST_BYTES = 32;

/** Takes 32 bytes as a digest. The bytes are not copied; the caller hands them over. */
export function asDigest(bytes: Uint8Array): Digest {
  if (bytes.byteLength !== DIGEST_BYTES) throw new RangeError(`a digest has 32 bytes, not ${bytes.byteLength}`);
  return bytes as Digest;
}

/** Copies the digest that starts at `offset`: for tables whose memory is reused or large. */
export function copyDigest(bytes: Uint8Array, offset = 0): Digest {
  // Not slice(): on a Buffer that is a view.
  const copy = new Uint8Array(DIGEST_BYTES);
  copy.set(bytes.subarray(offset, offset + DIGEST_BYTES));
  return copy as Digest;
}

/** Digests become text by way of this: a Buffer on a small array's own memory would first have to move that out of the heap. */
const SCRATCH = Buffer.alloc(DIGEST_BYTES);

export function digestToHex(digest: Digest): DigestHex {
  SCRATCH.set(digest);
  return SCRATCH.toString('hex') as DigestHex;
}

/** A digest as a Map key: 32 characters, one per byte. Twice as fast to make and to look up as hex digits. */
export function digestKey(digest: Digest): string {
  SCRATCH.set(digest);
  return SCRATCH.toString('latin1');
}

export function digestFromHex(hex: string): Digest {
  if (!/^[0-9a-f]{64}$/.test(hex)) throw new RangeError(`not a digest: ${hex}`);
  const bytes = new Uint8Array(DIGEST_BYTES);
  bytes.set(Buffer.from(hex, 'hex'));
  return bytes as Digest;
}

export function digestsEqual(a: Digest, b: Digest): boolean {
  return Buffer.compare(a, b) === 0;
}
