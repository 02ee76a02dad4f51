import type { Decoder } from '../encoding/decoder.js';
import { DamageError, isCairnError, type Damage } from '../errors.js';
import { digestsEqual, digestToHex, type Digest } from '../hash/digest.js';
import type { Hasher } from '../hash/hasher.js';
import type { ObjectKind } from '../hash/object-kind.js';

/** Which object some bytes should be. */
export interface ObjectId {
  kind: ObjectKind;
  digest: Digest;
}

/** Fills `target`, which has the object's length, from its stored bytes. @throws DamageError; StoreFormatError for an unknown encoding */
export function decodeObject(decoder: Decoder, { kind, digest }: ObjectId, encoding: number, stored: Uint8Array, target: Uint8Array): void {
  try {
    decoder.decodeInto(encoding, stored, target);
  } catch (error) {
    throw isCairnError(error) ? error : damagedObject(kind, digest, 'cannot be decoded', error);
  }
}

/** @throws DamageError when the bytes are not the object's */
export function checkDigest(hasher: Hasher, { kind, digest }: ObjectId, bytes: Uint8Array): void {
  if (!digestsEqual(hasher.digest(bytes), digest)) throw damagedObject(kind, digest, 'does not match its digest');
}

const DAMAGE_KINDS = ['chunk', 'node', 'node', 'snapshot'] as const satisfies Damage['kind'][];

/** An object that is missing or not what its digest says. */
export function damagedObject(kind: ObjectKind, digest: Digest, reason: string, cause?: unknown): DamageError {
  const what = DAMAGE_KINDS[kind];
  const id = digestToHex(digest);
  return new DamageError(`${what} ${id} ${reason}`, [{ kind: what, id, affects: [] }], cause);
}
