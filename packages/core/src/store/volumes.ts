import { InvalidArgumentError, unlessDamaged, VolumeExistsError, VolumeNotFoundError } from '../errors.js';
import { digestToHex } from '../hash/digest.js';
import type { VolumeRecord } from '../index/records.js';
import { totals } from '../manifest/read.js';
import { newVolumeId } from '../refs/ref-table.js';
import type { Ref, SnapshotId, Volume, VolumeInfo, Volumes } from '../types.js';
import { VolumeHandle } from '../volume/handle.js';
import { History } from '../volume/history.js';
import { checkVolumeName } from '../volume/paths.js';
import { resolveRef } from '../volume/resolve-ref.js';
import type { StoreEngine } from './engine.js';

/** The volumes of one open store. */
export class StoreVolumes implements Volumes {
  private readonly engine: StoreEngine;
  private readonly readOnly: boolean;
  private readonly assertOpen: () => void;

  constructor(engine: StoreEngine, readOnly: boolean, assertOpen: () => void) {
    this.engine = engine;
    this.readOnly = readOnly;
    this.assertOpen = assertOpen;
  }

  async fromName(name: string, options: { createIfMissing?: boolean; readOnly?: boolean } = {}): Promise<Volume> {
    this.assertOpen();
    checkVolumeName(name);
    if (options.createIfMissing === true && this.find(name) === undefined) await this.create(name, { allowExisting: true });
    return new VolumeHandle(this.engine, this.require(name), { readOnly: this.readOnly || options.readOnly === true });
  }

  async ephemeral(): Promise<Volume> {
    this.assertWritable();
    this.engine.lease.ensure({ must: true });
    const volumeId = newVolumeId();
    await this.engine.run(() =>
      this.engine.publisher.change({
        type: 'volume-created',
        volumeId,
        name: '',
        createdAtMs: this.engine.now().getTime(),
        ephemeral: true,
      }),
    );
    this.engine.index.refresh();
    const record = this.engine.index.volumeById(volumeId);
    if (record === undefined) throw new VolumeNotFoundError('ephemeral');
    return new VolumeHandle(this.engine, record, { readOnly: false });
  }

  async create(name: string, options: { allowExisting?: boolean } = {}): Promise<void> {
    checkVolumeName(name);
    this.assertWritable();
    if (this.find(name) !== undefined) {
      if (options.allowExisting === true) return;
      throw new VolumeExistsError(name);
    }
    try {
      await this.engine.run(() =>
        this.engine.publisher.change({ type: 'volume-created', volumeId: newVolumeId(), name, createdAtMs: this.engine.now().getTime() }),
      );
    } catch (error) {
      // Another process may have been first.
      if (!(options.allowExisting === true && error instanceof VolumeExistsError)) throw error;
    }
  }

  list(): Promise<VolumeInfo[]> {
    return Promise.resolve().then(() => {
      this.assertOpen();
      this.engine.index.refresh();
      return this.engine.index.volumes().flatMap((record) => (record.name === undefined ? [] : [this.infoOf(record, record.name)]));
    });
  }

  info(name: string): Promise<VolumeInfo> {
    return Promise.resolve().then(() => {
      this.assertOpen();
      checkVolumeName(name);
      return this.infoOf(this.require(name), name);
    });
  }

  async rename(from: string, to: string): Promise<void> {
    checkVolumeName(from);
    checkVolumeName(to);
    this.assertWritable();
    const { id } = this.require(from);
    if (from === to) return;
    await this.engine.run(() => this.engine.publisher.change({ type: 'volume-renamed', volumeId: id, name: to }));
  }

  async fork(from: string, to: string, options: { at?: Ref } = {}): Promise<void> {
    checkVolumeName(from);
    checkVolumeName(to);
    this.assertWritable();
    const source = this.require(from);
    const at = options.at ?? 'HEAD';
    if (source.head === null && at !== 'HEAD')
      throw new InvalidArgumentError(`volume '${from}' has no snapshot yet`, 'fork it without a ref, or commit first');
    const generation = source.head === null ? 0 : resolveRef(new History(source.id, this.engine.index, this.engine.nodes), at).generation;
    await this.engine.run(() =>
      this.engine.publisher.change({
        type: 'volume-created',
        volumeId: newVolumeId(),
        name: to,
        createdAtMs: this.engine.now().getTime(),
        from: { volumeId: source.id, generation },
      }),
    );
  }

  async delete(name: string, options: { allowMissing?: boolean } = {}): Promise<void> {
    checkVolumeName(name);
    this.assertWritable();
    const record = this.find(name);
    if (record === undefined) {
      if (options.allowMissing === true) return;
      throw new VolumeNotFoundError(name);
    }
    await this.engine.run(() =>
      this.engine.publisher.change({ type: 'volume-deleted', volumeId: record.id }, { allowMissing: options.allowMissing ?? false }),
    );
  }

  private find(name: string): VolumeRecord | undefined {
    this.engine.index.refresh();
    return this.engine.index.volumeByName(name);
  }

  private require(name: string): VolumeRecord {
    const record = this.find(name);
    if (record === undefined) throw new VolumeNotFoundError(name);
    return record;
  }

  private infoOf(record: VolumeRecord, name: string): VolumeInfo {
    const { head: id } = record;
    // Damage to one volume must not hide the others.
    const head = id === null ? null : unlessDamaged(() => new History(record.id, this.engine.index, this.engine.nodes).record(id));
    const sums = head === undefined ? undefined : unlessDamaged(() => totals(this.engine.nodes, head?.root ?? null));
    return {
      name,
      head: id === null ? null : (digestToHex(id) as string as SnapshotId),
      generation: record.generation,
      createdAt: new Date(record.createdAtMs),
      updatedAt: head ? new Date(head.createdAtMs) : null,
      files: sums?.files ?? null,
      size: sums?.sizeBytes ?? null,
      damaged: sums === undefined,
    };
  }

  private assertWritable(): void {
    this.assertOpen();
    this.engine.assertWritable(this.readOnly);
  }
}
