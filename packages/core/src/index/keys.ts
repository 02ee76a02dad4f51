import { copyDigest, DIGEST_BYTES, type Digest } from '../hash/digest.js';
import type { ObjectKind } from '../hash/object-kind.js';
import { packIdFromBytes, packIdToBytes, type PackId } from '../pack/pack-id.js';
import type { VolumeId } from '../refs/ref-table.js';

/*
 * Every key of the index: a prefix byte per family, then fixed-width parts; numbers are big-endian, so that they sort.
 *
 *   01                                 state of the index as a whole
 *   02                                 lease of the engine that collects
 *   10 kind:1 digest:32                object -> location
 *   20 pack:16                         sealed pack
 *   21 pack:16                         the same, when it counts as absent for deduplication
 *   22 pack:16                         pack that is out of the index, and whose file is to be deleted
 *   30 volume:16                       volume
 *   31 name                            volume's name -> its id
 *   32 volume:16 generation:8          surviving snapshot of a volume
 *   33 volume:16 snapshot:32           the same by id -> its generation
 *   34 volume:16 tag                   tag -> snapshot
 *   35 seq:8 snapshot:32               snapshot that a change of that number took out of a history
 */
const Family = {
  state: 0x01,
  collector: 0x02,
  object: 0x10,
  pack: 0x20,
  absentPack: 0x21,
  doomedPack: 0x22,
  volume: 0x30,
  name: 0x31,
  generation: 0x32,
  snapshot: 0x33,
  tag: 0x34,
  removed: 0x35,
} as const;

const ID_BYTES = 16;
const AFTER_ID = 1 + ID_BYTES;
export const OBJECT_KEY_BYTES = 2 + DIGEST_BYTES;

/** Everything from `start` on, before `end`. */
export interface KeyRange {
  start: Uint8Array;
  end: Uint8Array;
}

/** The next key that there can be. */
export function after(key: Uint8Array): Uint8Array {
  return Buffer.concat([key, Uint8Array.of(0)]);
}

export const STATE_KEY = Buffer.from([Family.state]);
export const COLLECTOR_KEY = Buffer.from([Family.collector]);

export function objectKey(kind: ObjectKind, digest: Uint8Array, offset = 0): Uint8Array {
  return writeObjectKey(Buffer.allocUnsafe(OBJECT_KEY_BYTES), kind, digest, offset);
}

/** The same into memory that is used again: for look-ups by the hundred thousand. */
export function writeObjectKey(target: Buffer, kind: ObjectKind, digest: Uint8Array, offset: number): Buffer {
  target[0] = Family.object;
  target[1] = kind;
  for (let i = 0; i < DIGEST_BYTES; i++) target[2 + i] = digest[offset + i]!;
  return target;
}

export function parseObjectKey(key: Uint8Array): { kind: ObjectKind; digest: Digest } {
  return { kind: key[1] as ObjectKind, digest: copyDigest(key, 2) };
}

export function packKey(id: PackId): Uint8Array {
  return join(Family.pack, packIdToBytes(id));
}

export function absentPackKey(id: PackId): Uint8Array {
  return join(Family.absentPack, packIdToBytes(id));
}

export function doomedPackKey(id: PackId): Uint8Array {
  return join(Family.doomedPack, packIdToBytes(id));
}

/** Of a key of any of the three families of packs. */
export function parsePackKey(key: Uint8Array): PackId {
  return packIdFromBytes(key, 1);
}

/** Every object of one kind. */
export function objectsOf(kind: ObjectKind): KeyRange {
  return allOf(join(Family.object, Uint8Array.of(kind)));
}

export function volumeKey(id: VolumeId): Uint8Array {
  return join(Family.volume, idBytes(id));
}

/** Of a key of any of the families that begin with a volume. */
export function parseVolumeKey(key: Uint8Array): VolumeId {
  return idText(key) as VolumeId;
}

export function nameKey(name: string): Uint8Array {
  return join(Family.name, Buffer.from(name, 'utf8'));
}

export function parseNameKey(key: Uint8Array): string {
  return Buffer.from(key).toString('utf8', 1);
}

export function generationKey(volume: VolumeId, generation: number): Uint8Array {
  return join(Family.generation, idBytes(volume), bigEndian(generation));
}

export function parseGenerationKey(key: Uint8Array): number {
  return Number(Buffer.from(key).readBigUInt64BE(AFTER_ID));
}

export function snapshotKey(volume: VolumeId, snapshot: Uint8Array): Uint8Array {
  return join(Family.snapshot, idBytes(volume), snapshot);
}

export function parseSnapshotKey(key: Uint8Array): Digest {
  return copyDigest(key, AFTER_ID);
}

export function tagKey(volume: VolumeId, tag: string): Uint8Array {
  return join(Family.tag, idBytes(volume), Buffer.from(tag, 'utf8'));
}

export function parseTagKey(key: Uint8Array): string {
  return Buffer.from(key).toString('utf8', AFTER_ID);
}

export function removedKey(seq: number, snapshot: Uint8Array): Uint8Array {
  return join(Family.removed, bigEndian(seq), snapshot);
}

export function parseRemovedKey(key: Uint8Array): { seq: number; snapshot: Digest } {
  return { seq: Number(Buffer.from(key).readBigUInt64BE(1)), snapshot: copyDigest(key, 1 + 8) };
}

export const OBJECTS = allOf(join(Family.object));
export const PACKS = allOf(join(Family.pack));
export const VOLUMES = allOf(join(Family.volume));
export const NAMES = allOf(join(Family.name));
export const GENERATIONS = allOf(join(Family.generation));
export const SNAPSHOTS = allOf(join(Family.snapshot));
export const TAGS = allOf(join(Family.tag));
export const ABSENT_PACKS = allOf(join(Family.absentPack));
export const DOOMED_PACKS = allOf(join(Family.doomedPack));
export const REMOVED = allOf(join(Family.removed));

export function generationsOf(volume: VolumeId): KeyRange {
  return allOf(join(Family.generation, idBytes(volume)));
}

export function tagsOf(volume: VolumeId): KeyRange {
  return allOf(join(Family.tag, idBytes(volume)));
}

/** Snapshots of a volume whose id begins with these hex digits. */
export function snapshotsWithPrefix(volume: VolumeId, hexPrefix: string): KeyRange {
  const full = DIGEST_BYTES * 2;
  return {
    start: snapshotKey(volume, Buffer.from(hexPrefix.padEnd(full, '0'), 'hex')),
    end: Buffer.concat([snapshotKey(volume, Buffer.from(hexPrefix.padEnd(full, 'f'), 'hex')), Buffer.from([0])]),
  };
}

export function snapshotsOf(volume: VolumeId): KeyRange {
  return allOf(join(Family.snapshot, idBytes(volume)));
}

function join(family: number, ...parts: Uint8Array[]): Uint8Array {
  return Buffer.concat([Uint8Array.of(family), ...parts]);
}

function allOf(prefix: Uint8Array): KeyRange {
  return { start: prefix, end: successor(prefix) };
}

/** The smallest key after all that begin with `prefix`: a number one larger, carried over trailing 0xff bytes. */
function successor(prefix: Uint8Array): Uint8Array {
  let length = prefix.byteLength;
  while (prefix[length - 1] === 0xff) length--;
  const next = Buffer.from(prefix.subarray(0, length));
  next[length - 1]!++;
  return next;
}

function bigEndian(value: number): Uint8Array {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}

function idBytes(id: string): Uint8Array {
  return Buffer.from(id, 'hex');
}

function idText(key: Uint8Array): string {
  return Buffer.from(key).toString('hex', 1, AFTER_ID);
}
