import { digestFromHex, type Digest } from '../hash/digest.js';
import type { SealedPack } from '../pack/footer.js';
import type { ObjectKind } from '../hash/object-kind.js';
import { readRow, rowCount, type ObjectTable } from '../pack/object-table.js';
import { packIdToBytes, type PackId } from '../pack/pack-id.js';
import type { RefChange, RefTable } from '../refs/ref-table.js';
import * as keys from './keys.js';
import { IndexReader } from './reader.js';
import * as records from './records.js';
import type { AbsentPack, IndexState, PackRecord, VolumeId, VolumeRecord } from './records.js';
import type { IndexStorage } from './storage.js';

/** Keys per transaction when packs are published: after much larger ones LMDB's later commits stay slow. */
export const KEYS_PER_TRANSACTION = 4096;

/** The writes of one transaction. Valid only inside `writeIndex`'s callback; its `reader` sees them at once. */
export class IndexTransaction {
  readonly reader: IndexReader;
  private readonly env: IndexStorage;

  constructor(env: IndexStorage) {
    this.env = env;
    this.reader = new IndexReader(env);
  }

  updateState(change: Partial<IndexState>): void {
    this.put(keys.STATE_KEY, records.encodeState({ ...this.reader.state(), ...change }));
  }

  /** Notes which engine collects. */
  setCollector(lease: string | undefined): void {
    if (lease === undefined) this.remove(keys.COLLECTOR_KEY);
    else this.put(keys.COLLECTOR_KEY, records.encodeCollector(lease));
  }

  /** Rows `from` to `to` (exclusive) of a sealed pack's table. An object that has a location keeps it, unless its pack counts as absent. */
  putObjects(pack: PackId, table: ObjectTable, from = 0, to = rowCount(table)): void {
    const packBytes = packIdToBytes(pack);
    for (let i = from; i < to; i++) {
      const row = readRow(table, i);
      if (this.reader.packOf(row.kind, row.digest) !== undefined) continue;
      this.put(keys.objectKey(row.kind, row.digest), records.encodeLocation(packBytes, row));
    }
  }

  /** Lets those objects of a new pack that lie in one of `sources` be found in the new one: the others have moved meanwhile, or gone. */
  moveObjects(pack: PackId, table: ObjectTable, sources: ReadonlySet<PackId>, from: number, to: number): void {
    const packBytes = packIdToBytes(pack);
    for (let i = from; i < to; i++) {
      const row = readRow(table, i);
      const now = this.reader.locate(row.kind, row.digest);
      if (now === undefined || !sources.has(now.pack)) continue;
      this.put(keys.objectKey(row.kind, row.digest), records.encodeLocation(packBytes, row));
    }
  }

  removeObject(kind: ObjectKind, digest: Digest): void {
    this.remove(keys.objectKey(kind, digest));
  }

  /**
   * Makes a pack known. One that is known already is left as it is, unless nobody knew whose it was: then it is its publisher's, and
   * counts as present.
   */
  putPack(pack: SealedPack, owner: string): void {
    const known = this.reader.pack(pack.id);
    if (known !== undefined) {
      if (known.owner !== '' || owner === '') return;
      this.replacePack({ ...known, owner });
      this.showPacks([pack.id]);
      return;
    }
    const state = this.reader.state();
    this.replacePack({
      id: pack.id,
      sizeBytes: pack.sizeBytes,
      objects: rowCount(pack.table),
      owner,
      epoch: state.epoch,
    });
    this.updateState({ packs: state.packs + 1, packBytes: state.packBytes + pack.sizeBytes });
  }

  /** Begins a new epoch, in which these packs count as absent for deduplication, and may be deleted once nobody needs them. */
  condemnPacks(ids: Iterable<PackId>): void {
    const epoch = this.reader.state().epoch + 1;
    this.hidePacks(ids, epoch);
  }

  /** Begins a new epoch, in which these packs count as absent for deduplication, but are there for those who refer to them. */
  keepPacks(ids: Iterable<PackId>): void {
    this.hidePacks(ids, 0);
  }

  /** These packs count again. */
  showPacks(ids: Iterable<PackId>): void {
    let shown = 0;
    for (const id of new Set(ids)) {
      if (this.reader.absentPack(id) === undefined) continue;
      this.remove(keys.absentPackKey(id));
      shown++;
    }
    if (shown > 0) this.updateState({ absentPacks: this.reader.state().absentPacks - shown });
  }

  /** Something needs these packs: those condemned meanwhile are kept. Returns the ids that the index does not know any more. */
  retainPacks(ids: Iterable<PackId>): PackId[] {
    const gone: PackId[] = [];
    for (const id of new Set(ids)) {
      if (this.reader.pack(id) === undefined) gone.push(id);
      else if ((this.reader.absentPack(id)?.condemnedEpoch ?? 0) > 0) this.putAbsent({ id, condemnedEpoch: 0 });
    }
    return gone;
  }

  /** Takes condemned packs out of the index. Until their objects are removed as well, and then their files, they stay absent. */
  doomPacks(ids: Iterable<PackId>): void {
    for (const id of new Set(ids)) {
      const [pack, absent] = [this.reader.pack(id), this.reader.absentPack(id)];
      if (pack === undefined || absent === undefined) continue;
      this.remove(keys.packKey(id));
      this.remove(keys.absentPackKey(id));
      this.put(keys.doomedPackKey(id), records.encodeDoomedPack({ condemnedEpoch: absent.condemnedEpoch, sizeBytes: pack.sizeBytes }));
      const state = this.reader.state();
      this.updateState({ packs: state.packs - 1, packBytes: state.packBytes - pack.sizeBytes });
    }
  }

  /** The files of these doomed packs are gone. */
  forgetDoomed(ids: Iterable<PackId>): void {
    let gone = 0;
    for (const id of new Set(ids)) {
      if (this.reader.doomedPack(id) === undefined) continue;
      this.remove(keys.doomedPackKey(id));
      gone++;
    }
    if (gone > 0) this.updateState({ absentPacks: this.reader.state().absentPacks - gone });
  }

  /** No reader has snapshots open any more that were removed before change `seq` or by it. */
  forgetRemoved(seq: number): void {
    for (const key of [...this.env.keys({ start: keys.REMOVED.start, end: keys.removedKey(seq + 1, new Uint8Array()) })]) this.remove(key);
  }

  /** Brings in the next change of the ref journal. It was checked to fit. */
  applyChange(change: RefChange): void {
    switch (change.type) {
      case 'volume-created':
        this.createVolume(change);
        break;
      case 'volume-deleted':
        this.deleteVolume(this.existing(change.volumeId));
        break;
      case 'volume-renamed': {
        const volume = this.existing(change.volumeId);
        if (volume.name !== undefined) this.remove(keys.nameKey(volume.name));
        this.putVolume({ ...volume, name: change.name });
        break;
      }
      case 'head': {
        const head = digestFromHex(change.snapshot);
        this.putGeneration(change.volumeId, change.generation, head);
        this.putVolume({ ...this.existing(change.volumeId), generation: change.generation, head });
        break;
      }
      case 'tag':
        this.put(keys.tagKey(change.volumeId, change.tag), digestFromHex(change.snapshot));
        break;
      case 'untag':
        this.remove(keys.tagKey(change.volumeId, change.tag));
        break;
      case 'prune':
        this.prune(change.volumeId, change.generations);
        break;
      case 'restored':
        break;
    }
    this.updateState({ seq: this.reader.state().seq + 1 });
  }

  /** Brings in a whole table of refs, in place of the one that is there. */
  restoreRefs(table: RefTable): void {
    for (const volume of this.reader.volumes()) this.deleteVolume(volume);
    for (const { id, name, createdAtMs, ephemeralOwner, generations, tags } of table.volumes.values()) {
      const head = generations.at(-1);
      for (const [generation, snapshot] of generations) this.putGeneration(id, generation, digestFromHex(snapshot));
      for (const [tag, snapshot] of tags) this.put(keys.tagKey(id, tag), digestFromHex(snapshot));
      this.putVolume({
        id,
        name: name === '' ? undefined : name,
        createdAtMs,
        generation: head?.[0] ?? 0,
        head: head === undefined ? null : digestFromHex(head[1]),
        ...(ephemeralOwner === undefined ? {} : { ephemeralOwner }),
      });
    }
    this.updateState({ seq: table.seq });
  }

  private createVolume(change: RefChange & { type: 'volume-created' }): void {
    const { volumeId: id, createdAtMs, from, ephemeralOwner } = change;
    let generation = 0;
    let head: Digest | null = null;
    if (from !== undefined) {
      const inherited = [...this.reader.generations(from.volumeId)].filter((step) => step.generation <= from.generation);
      for (const step of inherited) {
        ({ generation, snapshot: head } = step);
        this.putGeneration(id, generation, head);
      }
    }
    this.putVolume({
      id,
      name: change.name === '' ? undefined : change.name,
      createdAtMs,
      generation,
      head,
      ...(ephemeralOwner === undefined ? {} : { ephemeralOwner }),
    });
  }

  private deleteVolume(volume: VolumeRecord): void {
    if (volume.name !== undefined) this.remove(keys.nameKey(volume.name));
    for (const { snapshot } of [...this.reader.generations(volume.id)]) this.noteRemoval(volume.id, snapshot);
    for (const range of [keys.generationsOf(volume.id), keys.snapshotsOf(volume.id), keys.tagsOf(volume.id)]) {
      for (const key of [...this.env.keys(range)]) this.remove(key);
    }
    this.remove(keys.volumeKey(volume.id));
  }

  private prune(volume: VolumeId, generations: number[]): void {
    for (const generation of generations) {
      const [step] = this.reader.generations(volume, { from: generation });
      if (step?.generation !== generation) continue;
      this.remove(keys.generationKey(volume, generation));
      this.remove(keys.snapshotKey(volume, step.snapshot));
      this.noteRemoval(volume, step.snapshot);
    }
  }

  /** By the change that is being brought in. */
  private noteRemoval(volume: VolumeId, snapshot: Digest): void {
    this.put(keys.removedKey(this.reader.state().seq + 1, snapshot), records.encodeVolumeId(volume));
  }

  private hidePacks(ids: Iterable<PackId>, condemnedEpoch: number): void {
    let hidden = 0;
    for (const id of new Set(ids)) {
      if (this.reader.pack(id) === undefined) continue;
      if (this.reader.absentPack(id) === undefined) hidden++;
      this.putAbsent({ id, condemnedEpoch });
    }
    const { epoch, absentPacks } = this.reader.state();
    this.updateState({ epoch: epoch + 1, absentPacks: absentPacks + hidden });
  }

  private putAbsent({ id, condemnedEpoch }: AbsentPack): void {
    this.put(keys.absentPackKey(id), records.encodeAbsentPack(condemnedEpoch));
  }

  private existing(id: VolumeId): VolumeRecord {
    const volume = this.reader.volumeById(id);
    if (volume === undefined) throw records.damagedIndex(keys.volumeKey(id));
    return volume;
  }

  private putVolume(volume: VolumeRecord): void {
    this.put(keys.volumeKey(volume.id), records.encodeVolume(volume));
    if (volume.name !== undefined) this.put(keys.nameKey(volume.name), records.encodeVolumeId(volume.id));
  }

  private putGeneration(volume: VolumeId, generation: number, snapshot: Digest): void {
    this.put(keys.generationKey(volume, generation), snapshot);
    this.put(keys.snapshotKey(volume, snapshot), records.encodeNumber(generation));
  }

  private replacePack(pack: PackRecord): void {
    this.put(keys.packKey(pack.id), records.encodePack(pack));
  }

  private put(key: Uint8Array, value: Uint8Array): void {
    this.env.put(key, records.seal(key, value));
  }

  private remove(key: Uint8Array): void {
    this.env.remove(key);
  }
}

/**
 * Runs `work` as one durable transaction of the index, under the lock that all processes share. When it throws, nothing is
 * written. Only the one writing thread of a process calls this.
 */
export function writeIndex<T>(env: IndexStorage, work: (transaction: IndexTransaction) => T): T {
  let result: { value: T } | undefined;
  env.transaction(() => {
    env.assertNotReplaced();
    result = { value: work(new IndexTransaction(env)) };
  });
  return result!.value;
}
