import { crc32 } from 'node:zlib';
import type { IndexIdentity } from '../index/environment.js';
import { asDigest, DIGEST_BYTES, type Digest } from '../hash/digest.js';
import { ByteReader, ByteWriter, MalformedError } from '../util/bytes.js';
import type { ProcessIdentity } from './process-identity.js';

/*
 * STORE/leases/<id>, little-endian. Its owner holds it open, and writes the two slots in turn, each as one write: whoever reads
 * while that happens finds the other one whole, which was true until then.
 *
 *     0  who         512   version:1, pid:4, start time:8, boot id:text, inode of the pid namespace:8, created:8 (ms),
 *                          device:8 and inode:8 of the index file; then zeros; the last 4 bytes are the CRC-32 of the others
 *   512  slot 0     8704   turn:8, since:8, pending:1, pendingEpoch:8, count:2, count pins of 32 bytes; then zeros; CRC-32:4
 *  9216  slot 1     8704   the same; the one with the higher turn counts
 */
const VERSION = 1;
const WHO_BYTES = 512;
const SLOT_BYTES = 8704;
const CHECK_BYTES = 4;
export const LEASE_BYTES = WHO_BYTES + 2 * SLOT_BYTES;

/** Snapshots that one lease can name. */
export const MAX_PINS = 256;

/** Who holds a lease: a process, and the index that it reads. */
export interface LeaseHolder extends ProcessIdentity {
  createdAtMs: number;
  index: IndexIdentity;
}

/** What a lease protects. */
export interface LeaseClaims {
  /** Number of a change of the ref journal: what was removed from a history after it may be open. */
  since: number;
  /** Snapshots that are open, whenever they were removed. */
  pins: readonly Digest[];
  /**
   * Epoch of the index when this engine began to hold references that no commit has yet; null: it has none. What was condemned
   * in a later epoch may be among them.
   */
  pendingEpoch: number | null;
}

export interface Lease extends LeaseHolder, LeaseClaims {
  id: string;
}

export function encodeHolder(holder: LeaseHolder): Uint8Array {
  const writer = new ByteWriter()
    .u8(VERSION)
    .u32(holder.pid)
    .u64(holder.startTime)
    .text(holder.bootId)
    .u64(holder.pidNamespace)
    .u64(holder.createdAtMs);
  return checked(writer.u64(holder.index.dev).u64(holder.index.ino).finish(), WHO_BYTES);
}

/** Where the slot of a turn lies. */
export function slotPosition(turn: number): number {
  return WHO_BYTES + (turn % 2) * SLOT_BYTES;
}

/** @throws RangeError for more than `MAX_PINS` pins. */
export function encodeClaims(turn: number, { since, pins, pendingEpoch }: LeaseClaims): Uint8Array {
  if (pins.length > MAX_PINS) throw new RangeError(`a lease cannot name ${pins.length} snapshots`);
  const writer = new ByteWriter()
    .u64(turn)
    .u64(since)
    .u8(pendingEpoch === null ? 0 : 1)
    .u64(pendingEpoch ?? 0)
    .u16(pins.length);
  for (const pin of pins) writer.bytes(pin);
  return checked(writer.finish(), SLOT_BYTES);
}

/** Undefined for bytes that no lease ever has. */
export function decodeLease(id: string, bytes: Uint8Array): Lease | undefined {
  try {
    return decode(id, bytes);
  } catch (error) {
    if (error instanceof MalformedError) return undefined;
    throw error;
  }
}

function decode(id: string, bytes: Uint8Array): Lease | undefined {
  const who = bytes.byteLength === LEASE_BYTES ? unchecked(bytes.subarray(0, WHO_BYTES)) : undefined;
  if (who === undefined || who[0] !== VERSION) return undefined;
  const slots = [0, 1].flatMap((turn) => {
    const slot = unchecked(bytes.subarray(slotPosition(turn), slotPosition(turn) + SLOT_BYTES));
    return slot === undefined ? [] : [decodeClaims(new ByteReader(slot))];
  });
  const newest = slots.sort((a, b) => b.turn - a.turn)[0];
  if (newest === undefined) return undefined;
  const { turn: _turn, ...claims } = newest;
  return { id, ...decodeHolder(new ByteReader(who, 1)), ...claims };
}

function decodeHolder(reader: ByteReader): LeaseHolder {
  return {
    pid: reader.u32(),
    startTime: reader.u64(),
    bootId: reader.text(),
    pidNamespace: reader.u64(),
    createdAtMs: reader.u64(),
    index: { dev: reader.u64(), ino: reader.u64() },
  };
}

function decodeClaims(reader: ByteReader): LeaseClaims & { turn: number } {
  const [turn, since, pending, epoch, count] = [reader.u64(), reader.u64(), reader.u8(), reader.u64(), reader.u16()];
  const pins: Digest[] = [];
  for (let i = 0; i < count; i++) pins.push(asDigest(reader.bytes(DIGEST_BYTES).slice()));
  return { turn, since, pins, pendingEpoch: pending === 0 ? null : epoch };
}

function checked(content: Uint8Array, length: number): Uint8Array {
  const bytes = Buffer.alloc(length);
  bytes.set(content);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, length - CHECK_BYTES)), length - CHECK_BYTES);
  return bytes;
}

function unchecked(bytes: Uint8Array): Uint8Array | undefined {
  const length = bytes.byteLength - CHECK_BYTES;
  const check = new DataView(bytes.buffer, bytes.byteOffset + length, CHECK_BYTES).getUint32(0, true);
  const content = bytes.subarray(0, length);
  return check === crc32(content) ? content : undefined;
}
