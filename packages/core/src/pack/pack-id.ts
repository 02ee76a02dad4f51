import { randomBytes } from 'node:crypto';
import type { Brand } from '../util/brand.js';

/**
 * Names a pack file: 32 lowercase hex digits of 128 random bits, never reused. Random, because a name derived from the
 * content could be unlinked by a collector just after someone stored the same content again.
 */
export type PackId = Brand<string, 'PackId'>;

export const PACK_ID_BYTES = 16;

export function newPackId(): PackId {
  return randomBytes(PACK_ID_BYTES).toString('hex') as PackId;
}

export function isPackId(text: string): text is PackId {
  return /^[0-9a-f]{32}$/.test(text);
}

export function asPackId(text: string): PackId {
  if (!isPackId(text)) throw new RangeError(`not a pack id: ${text}`);
  return text;
}

export function packIdToBytes(id: PackId): Uint8Array {
  return Buffer.from(id, 'hex');
}

/** The id whose 16 bytes start at `offset`. */
export function packIdFromBytes(bytes: Uint8Array, offset = 0): PackId {
  return asPackId(Buffer.from(bytes.subarray(offset, offset + PACK_ID_BYTES)).toString('hex'));
}
