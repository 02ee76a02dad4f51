import { digestFromHex, type Digest } from '../hash/digest.js';
import type { SealedPack } from '../pack/footer.js';
import { readRow, rowCount, type ObjectTable } from '../pack/object-table.js';
import { packIdToBytes, type PackId } from '../pack/pack-id.js';
import type { RefChange, RefTable } from '../refs/ref-table.js';
import { type IndexEnvironment } from './environment.js';
import * as keys from './keys.js';
import { IndexReader } from './reader.js';
import * as records from './records.js';
import type { IndexState, LeaseRecord, PackRecord, VolumeId, VolumeRecord } from './records.js';

/** Keys per transaction when packs are published: after much larger ones LMDB's later commits stay slow. */
export const KEYS_PER_TRANSACTION = 4096;

/** The writes of one transaction. Valid only inside `writeIndex`'s callback; its `reader` sees them at once. */
export class IndexTransaction {
  readonly reader: IndexReader;
  private readonly env: IndexEnvironment;

  constructor(env: IndexEnvironment) {
    this.env = env;
    this.reader = new IndexReader(env);
  }

  updateState(change: Partial<IndexState>): void {
    this.put(keys.STATE_KEY, records.encodeState({ ...this.reader.state(), ...change }));
  }

  /** Rows `from` to `to` (exclusive) of a sealed pack's table. An object that has a location keeps it, unless its pack is condemned. */
  putObjects(pack: PackId, table: ObjectTable, from = 0, to = rowCount(table)): void {
    const packBytes = packIdToBytes(pack);
    for (let i = from; i < to; i++) {
      const row = readRow(table, i);
      if (this.reader.packOf(row.kind, row.digest) !== undefined) continue;
      this.put(keys.objectKey(row.kind, row.digest), records.encodeLocation(packBytes, row));
    }
  }

  /** Makes a pack known. One that is known already is left as it is. */
  putPack(pack: SealedPack, owner: string): void {
    if (this.reader.pack(pack.id) !== undefined) return;
    const state = this.reader.state();
    this.replacePack({
      id: pack.id,
      sizeBytes: pack.sizeBytes,
      objects: rowCount(pack.table),
      owner,
      epoch: state.epoch,
      condemnedEpoch: 0,
    });
    this.updateState({ packs: state.packs + 1, packBytes: state.packBytes + pack.sizeBytes });
  }

  /** Begins a new epoch, in which these packs count as absent for deduplication. */
  condemnPacks(ids: Iterable<PackId>): void {
    const { epoch, condemnedPacks } = this.reader.state();
    let condemned = 0;
    for (const id of new Set(ids)) {
      const pack = this.reader.pack(id);
      if (pack === undefined || pack.condemnedEpoch > 0) continue;
      this.replacePack({ ...pack, condemnedEpoch: epoch + 1 });
      condemned++;
    }
    this.updateState({ epoch: epoch + 1, condemnedPacks: condemnedPacks + condemned });
  }

  /** A commit needs these packs: those condemned meanwhile are wanted back. Returns the ids that the index does not know any more. */
  retainPacks(ids: Iterable<PackId>): PackId[] {
    const gone: PackId[] = [];
    let wantedBack = 0;
    for (const id of new Set(ids)) {
      const pack = this.reader.pack(id);
      if (pack === undefined) gone.push(id);
      else if (pack.condemnedEpoch > 0) {
        this.replacePack({ ...pack, condemnedEpoch: 0 });
        wantedBack++;
      }
    }
    if (wantedBack > 0) this.updateState({ condemnedPacks: this.reader.state().condemnedPacks - wantedBack });
    return gone;
  }

  putLease(lease: LeaseRecord): void {
    this.put(keys.leaseKey(lease.id), records.encodeLease(lease));
  }

  removeLease(id: string): void {
    this.remove(keys.leaseKey(id));
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
    for (const range of [keys.generationsOf(volume.id), keys.snapshotsOf(volume.id), keys.tagsOf(volume.id)]) {
      for (const key of [...this.env.db.getKeys(range)]) this.remove(key);
    }
    this.remove(keys.volumeKey(volume.id));
  }

  private prune(volume: VolumeId, generations: number[]): void {
    for (const generation of generations) {
      const [step] = this.reader.generations(volume, { from: generation });
      if (step?.generation !== generation) continue;
      this.remove(keys.generationKey(volume, generation));
      this.remove(keys.snapshotKey(volume, step.snapshot));
    }
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
    void this.env.db.put(key, records.seal(key, value));
  }

  private remove(key: Uint8Array): void {
    void this.env.db.remove(key);
  }
}

/**
 * Runs `work` as one durable transaction of the index, under the lock that all processes share. When it throws, nothing is
 * written. Only the one writing thread of a process calls this.
 */
export function writeIndex<T>(env: IndexEnvironment, work: (transaction: IndexTransaction) => T): T {
  let result: { value: T } | undefined;
  env.transaction(() => {
    env.assertNotReplaced();
    result = { value: work(new IndexTransaction(env)) };
  });
  return result!.value;
}
