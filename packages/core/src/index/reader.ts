import type { Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import { PACK_ID_BYTES, packIdFromBytes, type PackId } from '../pack/pack-id.js';
import * as keys from './keys.js';
import * as records from './records.js';
import { checkedLength } from './records.js';
import type { AbsentPack, DoomedPack, IndexState, Location, PackRecord, RemovedSnapshot, VolumeId, VolumeRecord } from './records.js';
import type { IndexStorage } from './storage.js';

export interface IndexedObject extends Location {
  kind: ObjectKind;
  digest: Digest;
}

/**
 * Look-ups in the index, synchronous. What is read within one tick is one moment of the index: call `refresh` to see what
 * others have published since. Every record's check value is verified: a damaged one is a DamageError of kind `index`.
 */
export class IndexReader {
  readonly storage: IndexStorage;
  private readonly lookupKey = Buffer.alloc(keys.OBJECT_KEY_BYTES);
  private absent: { epoch: number; all: Set<PackId>; condemned: Set<PackId> } = { epoch: -1, all: new Set(), condemned: new Set() };
  private absentIsFresh = false;
  private readonly packIds = new PackIdCache();

  constructor(storage: IndexStorage) {
    this.storage = storage;
  }

  state(): IndexState {
    return this.read(keys.STATE_KEY, records.decodeState) ?? records.INITIAL_STATE;
  }

  /** The lease of the engine that collects, or did when it died. */
  collector(): string | undefined {
    return this.read(keys.COLLECTOR_KEY, records.decodeCollector);
  }

  locate(kind: ObjectKind, digest: Digest): Location | undefined {
    return this.read(keys.writeObjectKey(this.lookupKey, kind, digest, 0), records.decodeLocation);
  }

  /**
   * The pack that holds an object, when it may be deduplicated against: not when that pack is condemned, or kept for others only.
   * The digest is the 32 bytes at `offset`. Made for hundreds of thousands of calls a second; `refresh` before each batch of them.
   */
  packOf(kind: ObjectKind, digest: Uint8Array, offset = 0): PackId | undefined {
    const key = keys.writeObjectKey(this.lookupKey, kind, digest, offset);
    const stored = this.storage.get(key);
    if (stored === undefined) return undefined;
    if (checkedLength(key, stored) < PACK_ID_BYTES) throw records.damagedIndex(key);
    const pack = this.packIds.at(stored);
    const absent = this.absentNow();
    // A chunk needs nothing else: in a pack that is kept it is as good as in any other.
    return (kind === ObjectKind.chunk ? absent.condemned : absent.all).has(pack) ? undefined : pack;
  }

  volumeByName(name: string): VolumeRecord | undefined {
    const id = this.read(keys.nameKey(name), records.decodeVolumeId);
    return id === undefined ? undefined : this.volumeById(id);
  }

  volumeById(id: VolumeId): VolumeRecord | undefined {
    return this.read(keys.volumeKey(id), (key, value) => records.decodeVolume(id, key, value));
  }

  /** All volumes, ephemeral ones too, by name. */
  volumes(): VolumeRecord[] {
    const all = [...this.range(keys.VOLUMES, (key, value) => records.decodeVolume(keys.parseVolumeKey(key), key, value))];
    return all.sort((a, b) => compare(a.name ?? '', b.name ?? ''));
  }

  /** Surviving snapshots, oldest first, or newest first with `reverse`. `from` is where to begin, inclusive. */
  *generations(volume: VolumeId, options: { from?: number; reverse?: boolean } = {}): Generator<{ generation: number; snapshot: Digest }> {
    const range = keys.generationsOf(volume);
    if (options.from !== undefined) {
      if (options.reverse === true) range.end = keys.generationKey(volume, options.from + 1);
      else range.start = keys.generationKey(volume, options.from);
    }
    yield* this.range(
      range,
      (key, value) => ({ generation: keys.parseGenerationKey(key), snapshot: records.decodeDigest(key, value) }),
      options.reverse,
    );
  }

  /** Surviving snapshots of a volume whose id begins with these hex digits. */
  snapshotsByPrefix(volume: VolumeId, hexPrefix: string): { snapshot: Digest; generation: number }[] {
    const range = keys.snapshotsWithPrefix(volume, hexPrefix);
    return [...this.range(range, (key, value) => ({ snapshot: keys.parseSnapshotKey(key), generation: records.decodeNumber(key, value) }))];
  }

  /** Undefined when the snapshot is not, or no longer, in this volume's history. */
  generationOf(volume: VolumeId, snapshot: Digest): number | undefined {
    return this.read(keys.snapshotKey(volume, snapshot), records.decodeNumber);
  }

  tag(volume: VolumeId, name: string): Digest | undefined {
    return this.read(keys.tagKey(volume, name), records.decodeDigest);
  }

  /** By name. */
  tags(volume: VolumeId): { name: string; snapshot: Digest }[] {
    return [
      ...this.range(keys.tagsOf(volume), (key, value) => ({ name: keys.parseTagKey(key), snapshot: records.decodeDigest(key, value) })),
    ];
  }

  /** Names of the tags of one snapshot. */
  tagsOf(volume: VolumeId, snapshot: Digest): string[] {
    return this.tags(volume)
      .filter((tag) => Buffer.compare(tag.snapshot, snapshot) === 0)
      .map((tag) => tag.name);
  }

  pack(id: PackId): PackRecord | undefined {
    return this.read(keys.packKey(id), (key, value) => records.decodePack(id, key, value));
  }

  packs(): Generator<PackRecord> {
    return this.range(keys.PACKS, (key, value) => records.decodePack(keys.parsePackKey(key), key, value));
  }

  /** The packs after one, some of them at most: one look at an index of any size. */
  packsAfter(id: PackId | undefined, limit: number): PackRecord[] {
    const range = id === undefined ? keys.PACKS : { start: keys.after(keys.packKey(id)), end: keys.PACKS.end };
    return [...this.range({ ...range, limit }, (key, value) => records.decodePack(keys.parsePackKey(key), key, value))];
  }

  /** The objects after a key, some thousands of them at most, and the key to go on from: one look at an index of any size. */
  objectsAfter(start: Uint8Array | undefined, limit: number): { objects: IndexedObject[]; next: Uint8Array | undefined } {
    const range = start === undefined ? keys.OBJECTS : { start: keys.after(start), end: keys.OBJECTS.end };
    const objects: IndexedObject[] = [];
    let last: Uint8Array | undefined;
    const items = this.range({ ...range, limit }, (key, value) => {
      last = key;
      return { ...keys.parseObjectKey(key), ...records.decodeLocation(key, value) };
    });
    for (const object of items) objects.push(object);
    return { objects, next: objects.length < limit ? undefined : last };
  }

  /** Every object and where it lies, by kind and digest. */
  objects(): Generator<IndexedObject> {
    return this.range(keys.OBJECTS, (key, value) => ({ ...keys.parseObjectKey(key), ...records.decodeLocation(key, value) }));
  }

  /** The digests of all objects of one kind. */
  *digestsOf(kind: ObjectKind): Generator<Digest> {
    yield* this.range(keys.objectsOf(kind), (key) => keys.parseObjectKey(key).digest);
  }

  /** Whether a pack counts as absent, and why; undefined: it does not. */
  absentPack(id: PackId): AbsentPack | undefined {
    return this.read(keys.absentPackKey(id), (key, value) => records.decodeAbsentPack(id, key, value));
  }

  absentPacks(): Generator<AbsentPack> {
    return this.range(keys.ABSENT_PACKS, (key, value) => records.decodeAbsentPack(keys.parsePackKey(key), key, value));
  }

  doomedPack(id: PackId): DoomedPack | undefined {
    return this.read(keys.doomedPackKey(id), (key, value) => records.decodeDoomedPack(id, key, value));
  }

  doomedPacks(): Generator<DoomedPack> {
    return this.range(keys.DOOMED_PACKS, (key, value) => records.decodeDoomedPack(keys.parsePackKey(key), key, value));
  }

  /** Snapshots that left their histories, oldest change first. */
  removedSnapshots(): Generator<RemovedSnapshot> {
    return this.range(keys.REMOVED, (key, value) => ({ ...keys.parseRemovedKey(key), volume: records.decodeVolumeId(key, value) }));
  }

  refresh(): void {
    this.storage.refresh();
    this.absentIsFresh = false;
  }

  close(): Promise<void> {
    return this.storage.close();
  }

  /** Looked at once per refresh, and read again only in a new epoch: whoever adds to these packs begins one. */
  private absentNow(): { all: Set<PackId>; condemned: Set<PackId> } {
    if (!this.absentIsFresh) {
      const { epoch, absentPacks } = this.state();
      if (epoch !== this.absent.epoch) {
        const all = absentPacks === 0 ? [] : [...this.absentPacks(), ...this.doomedPacks()];
        const condemned = all.filter(({ condemnedEpoch }) => condemnedEpoch > 0);
        this.absent = { epoch, all: new Set(all.map(({ id }) => id)), condemned: new Set(condemned.map(({ id }) => id)) };
      }
      this.absentIsFresh = true;
    }
    return this.absent;
  }

  private read<T>(key: Uint8Array, decode: (key: Uint8Array, value: Uint8Array) => T): T | undefined {
    const stored = this.storage.get(key);
    return stored === undefined ? undefined : decode(key, records.unseal(key, stored));
  }

  private *range<T>(
    { limit, ...range }: keys.KeyRange & { limit?: number },
    decode: (key: Uint8Array, value: Uint8Array) => T,
    reverse = false,
  ): Generator<T> {
    for (const { key, value } of this.storage.items(range, { reverse, ...(limit === undefined ? {} : { limit }) })) {
      // No Buffer, as values.
      const plainKey = new Uint8Array(key.buffer, key.byteOffset, key.byteLength);
      yield decode(plainKey, records.unseal(key, value));
    }
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Ids as text of the packs seen last: making that text would be the largest part of a look-up. */
class PackIdCache {
  private readonly entries = new Map<number, { bytes: Uint8Array; id: PackId }>();

  /** The id whose bytes `record` begins with. */
  at(record: Uint8Array): PackId {
    const slot = (record[0]! | (record[1]! << 8)) & 0xfff;
    const known = this.entries.get(slot);
    if (known !== undefined && startsWith(record, known.bytes)) return known.id;
    const bytes = Uint8Array.from(record.subarray(0, PACK_ID_BYTES));
    const id = packIdFromBytes(bytes);
    this.entries.set(slot, { bytes, id });
    return id;
  }
}

function startsWith(record: Uint8Array, bytes: Uint8Array): boolean {
  for (let i = 0; i < PACK_ID_BYTES; i++) if (record[i] !== bytes[i]) return false;
  return true;
}
