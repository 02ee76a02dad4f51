import { DamageError, StoreFormatError } from '../errors.js';
import { asDigest, DIGEST_BYTES, type Digest } from '../hash/digest.js';
import { MAX_OBJECT_BYTES } from '../pack/footer.js';
import { packIdFromBytes, type PackId } from '../pack/pack-id.js';
import type { VolumeId } from '../refs/ref-table.js';
import { ByteReader, ByteWriter } from '../util/bytes.js';
import { crc32Of } from './crc32.js';

export type { VolumeId } from '../refs/ref-table.js';

/*
 * Values of the index. Each ends with a CRC-32 of key and value: LMDB itself has no checksums, and a flipped bit would
 * else be a wrong answer. Little-endian; fixed width where look-ups are many.
 */
const CHECK_BYTES = 4;

/** Where an object's bytes lie. */
export interface Location {
  pack: PackId;
  offset: number;
  storedLength: number;
  /** Logical bytes. */
  length: number;
  encoding: number;
}

/** A sealed pack that the index knows. */
export interface PackRecord {
  id: PackId;
  sizeBytes: number;
  objects: number;
  /** Lease that published it: what no commit refers to yet belongs to that engine. Empty: nobody's. */
  owner: string;
  /** Epoch of the index when it was published. */
  epoch: number;
}

/** Why a pack counts as absent for deduplication, although its objects can be read. */
export interface AbsentPack {
  id: PackId;
  /**
   * Epoch in which a collection condemned it; 0: it is kept, since something needs it or since nobody knows yet. What its nodes
   * refer to may be gone, so that nothing new may be built on them.
   */
  condemnedEpoch: number;
}

/** A pack that is on its way out: not in the index any more, but for objects that still point at it, and its file. */
export interface DoomedPack {
  id: PackId;
  /** Epoch in which it was condemned. */
  condemnedEpoch: number;
  sizeBytes: number;
}

/** A snapshot that was taken out of a history. Readers that were there before may still have it open. */
export interface RemovedSnapshot {
  /** Number of the change that did it. */
  seq: number;
  snapshot: Digest;
  volume: VolumeId;
}

/** A volume, without its history. */
export interface VolumeRecord {
  id: VolumeId;
  /** Undefined for an ephemeral volume. */
  name: string | undefined;
  createdAtMs: number;
  /** Of the head; 0: never committed. */
  generation: number;
  head: Digest | null;
  /** Lease of the engine that an ephemeral volume belongs to. */
  ephemeralOwner?: string;
}

/** The index as a whole. */
export interface IndexState {
  /** Number of the last change of the ref journal that is in the index. */
  seq: number;
  /** Counts collections. */
  epoch: number;
  packs: number;
  /** Packs that count as absent for deduplication, doomed ones among them. */
  absentPacks: number;
  /** Bytes of all packs that the index knows. */
  packBytes: number;
}

export const INITIAL_STATE: IndexState = { seq: 0, epoch: 0, packs: 0, absentPacks: 0, packBytes: 0 };

/** A record, or its key, is not what was written. */
export function damagedIndex(key: Uint8Array, cause?: unknown): DamageError {
  const id = Buffer.from(key).toString('hex');
  return new DamageError(`a record of the index is damaged (key ${id})`, [{ kind: 'index', id, affects: [] }], cause);
}

/** The value with its check value. */
export function seal(key: Uint8Array, value: Uint8Array): Uint8Array {
  const { length } = value;
  const sealed = Buffer.allocUnsafe(length + CHECK_BYTES);
  sealed.set(value);
  sealed.writeUInt32LE(crc32Of(key, value, length), length);
  return sealed;
}

/**
 * The value as a view on `stored`. No Buffer any more, since its `slice` does not copy.
 * @throws DamageError
 */
export function unseal(key: Uint8Array, stored: Uint8Array): Uint8Array {
  return new Uint8Array(stored.buffer, stored.byteOffset, checkedLength(key, stored));
}

/** Length of the value in `stored`, which may be the buffer that lmdb reuses: of that only `length` is true. @throws DamageError */
export function checkedLength(key: Uint8Array, stored: Uint8Array): number {
  const length = stored.length - CHECK_BYTES;
  if (length < 0) throw damagedIndex(key);
  const check = (stored[length]! | (stored[length + 1]! << 8) | (stored[length + 2]! << 16) | (stored[length + 3]! << 24)) >>> 0;
  if (crc32Of(key, stored, length) !== check) throw damagedIndex(key);
  return length;
}

const LOCATION_BYTES = 33;

/** Takes the pack's id as its 16 bytes: a pack has thousands of objects. */
export function encodeLocation(pack: Uint8Array, location: Omit<Location, 'pack'>): Uint8Array {
  const bytes = Buffer.allocUnsafe(LOCATION_BYTES);
  bytes.set(pack);
  bytes.writeUIntLE(location.offset, 16, 6);
  bytes.writeUInt16LE(0, 22);
  bytes.writeUInt32LE(location.storedLength, 24);
  bytes.writeUInt32LE(location.length, 28);
  bytes[32] = location.encoding;
  return bytes;
}

export function decodeLocation(key: Uint8Array, value: Uint8Array): Location {
  if (value.byteLength !== LOCATION_BYTES) throw damagedIndex(key);
  const bytes = Buffer.from(value.buffer, value.byteOffset, LOCATION_BYTES);
  const [storedLength, length] = [bytes.readUInt32LE(24), bytes.readUInt32LE(28)];
  // A check value only says that somebody wrote this: whoever reads the object allocates what is said here.
  if (bytes.readUInt16LE(22) !== 0 || storedLength > length || length > MAX_OBJECT_BYTES) throw damagedIndex(key);
  return { pack: packIdFromBytes(bytes), offset: bytes.readUIntLE(16, 6), storedLength, length, encoding: bytes[32]! };
}

export function encodePack(pack: PackRecord): Uint8Array {
  return new ByteWriter().u64(pack.sizeBytes).u32(pack.objects).text(pack.owner).u64(pack.epoch).finish();
}

export function decodePack(id: PackId, key: Uint8Array, value: Uint8Array): PackRecord {
  return reading(key, value, (reader) => {
    const [sizeBytes, objects, owner, epoch] = [reader.u64(), reader.u32(), reader.text(), reader.u64()];
    // Version 1 had one field more, always 0.
    if (reader.remaining > 0 && reader.u64() !== 0) throw damagedIndex(key);
    return { id, sizeBytes, objects, owner, epoch };
  });
}

export function encodeAbsentPack(condemnedEpoch: number): Uint8Array {
  return new ByteWriter(8).u64(condemnedEpoch).finish();
}

export function decodeAbsentPack(id: PackId, key: Uint8Array, value: Uint8Array): AbsentPack {
  return reading(key, value, (reader) => ({ id, condemnedEpoch: reader.u64() }));
}

export function encodeDoomedPack({ condemnedEpoch, sizeBytes }: Omit<DoomedPack, 'id'>): Uint8Array {
  return new ByteWriter(16).u64(condemnedEpoch).u64(sizeBytes).finish();
}

export function decodeDoomedPack(id: PackId, key: Uint8Array, value: Uint8Array): DoomedPack {
  return reading(key, value, (reader) => ({ id, condemnedEpoch: reader.u64(), sizeBytes: reader.u64() }));
}

export function encodeCollector(lease: string): Uint8Array {
  return new ByteWriter().text(lease).finish();
}

export function decodeCollector(key: Uint8Array, value: Uint8Array): string {
  return reading(key, value, (reader) => reader.text());
}

export function encodeVolume(volume: VolumeRecord): Uint8Array {
  const writer = new ByteWriter()
    .text(volume.name ?? '')
    .u64(volume.createdAtMs)
    .u64(volume.generation)
    .text(volume.ephemeralOwner ?? '');
  if (volume.head !== null) writer.bytes(volume.head);
  return writer.finish();
}

export function decodeVolume(id: VolumeId, key: Uint8Array, value: Uint8Array): VolumeRecord {
  return reading(key, value, (reader) => {
    const [name, createdAtMs, generation, owner] = [reader.text(), reader.u64(), reader.u64(), reader.text()];
    const head = reader.remaining === 0 ? null : asDigest(reader.bytes(DIGEST_BYTES).slice());
    return { id, name: name === '' ? undefined : name, createdAtMs, generation, head, ...(owner === '' ? {} : { ephemeralOwner: owner }) };
  });
}

/** Version 1 knew no collections. It is read as it is, and becomes version 2 with the first change. */
const STATE_VERSION = 2;
const OLDEST_STATE_VERSION = 1;

export function encodeState(state: IndexState): Uint8Array {
  return new ByteWriter()
    .u8(STATE_VERSION)
    .u64(state.seq)
    .u64(state.epoch)
    .u64(state.packs)
    .u64(state.absentPacks)
    .u64(state.packBytes)
    .finish();
}

/** @throws StoreFormatError for the index of a newer version. */
export function decodeState(key: Uint8Array, value: Uint8Array): IndexState {
  const version = value[0] ?? 0;
  if (version < OLDEST_STATE_VERSION || version > STATE_VERSION) {
    throw new StoreFormatError(
      `the index has version ${version}, which this version of Cairn does not know`,
      'open the store with a newer version of Cairn',
    );
  }
  return reading(key, value.subarray(1), (reader) => ({
    seq: reader.u64(),
    epoch: reader.u64(),
    packs: reader.u64(),
    absentPacks: reader.u64(),
    packBytes: reader.u64(),
  }));
}

/** Text of a name record is the volume's id; of a generation or tag record the snapshot; of a snapshot record its generation. */
export function decodeDigest(key: Uint8Array, value: Uint8Array): Digest {
  return reading(key, value, (reader) => asDigest(reader.bytes(DIGEST_BYTES).slice()));
}

export function encodeNumber(value: number): Uint8Array {
  return new ByteWriter(8).u64(value).finish();
}

export function decodeNumber(key: Uint8Array, value: Uint8Array): number {
  return reading(key, value, (reader) => reader.u64());
}

export function encodeVolumeId(id: VolumeId): Uint8Array {
  return Buffer.from(id, 'hex');
}

export function decodeVolumeId(key: Uint8Array, value: Uint8Array): VolumeId {
  return reading(key, value, (reader) => Buffer.from(reader.bytes(16)).toString('hex') as VolumeId);
}

/** A record whose check value holds and whose fields do not was written by a version that this one does not know, or is damaged. */
function reading<T>(key: Uint8Array, value: Uint8Array, read: (reader: ByteReader) => T): T {
  try {
    const reader = new ByteReader(value);
    const record = read(reader);
    reader.end();
    return record;
  } catch (error) {
    throw damagedIndex(key, error);
  }
}
