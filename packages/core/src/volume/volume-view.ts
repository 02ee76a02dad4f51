import { InvalidArgumentError, ReadOnlyError, VolumeNotFoundError } from '../errors.js';
import { digestToHex } from '../hash/digest.js';
import type { VolumeId, VolumeRecord } from '../index/records.js';
import type { ManifestRoot } from '../manifest/entry.js';
import type { Change, PrunePolicy, PruneReport, Ref, Snapshot, SnapshotId, SnapshotInfo, Work } from '../types.js';
import type { Point } from './commit.js';
import { changesBetween } from './diff.js';
import { tensorChangesBetween } from './diff-tensors.js';
import type { Engine } from './engine.js';
import { History, type Step } from './history.js';
import { checkTagName, normalizePath } from './paths.js';
import { pruneVolume } from './prune.js';
import { View } from './read-view.js';
import { resolveRef } from './resolve-ref.js';
import { SnapshotView } from './snapshot-view.js';

/** What a volume's handle tells of the volume's versions, and does with them: history, snapshots, differences, tags, pruning. */
export abstract class VolumeView extends View {
  readonly name: string | undefined;
  protected readonly what = 'volume';
  protected readonly volumeId: VolumeId;
  protected readonly readOnly: boolean;
  protected readonly historyOf: History;

  constructor(engine: Engine, volume: VolumeRecord, { readOnly }: { readOnly: boolean }) {
    super(engine);
    this.volumeId = volume.id;
    this.name = volume.name;
    this.readOnly = readOnly || engine.readOnly;
    this.historyOf = new History(volume.id, engine.index, engine.nodes);
  }

  async *history(options: { path?: string; from?: Ref; changes?: boolean } = {}): AsyncGenerator<SnapshotInfo> {
    this.assertOpen();
    const path = options.path === undefined ? undefined : normalizePath(options.path);
    const from = options.from === undefined ? undefined : resolveRef(this.historyOf, options.from);
    const name = this.displayName();
    const damaged = ({ id }: Step, error: Error): void =>
      this.engine.diagnostics.log(
        'warn',
        `left snapshot ${digestToHex(id).slice(0, 12)} out of the history of '${name}': ${error.message}`,
      );
    const changes = options.changes === true;
    const grip = this.engine.lease.reading();
    try {
      yield* this.whileOpen(this.historyOf.infos({ path, from: from?.generation, name, changes, damaged }));
    } finally {
      grip.release();
    }
  }

  async snapshot(ref: Ref = 'HEAD'): Promise<Snapshot> {
    this.assertOpen();
    return this.engine.run(async () => {
      const { id, generation } = await Promise.resolve(resolveRef(this.historyOf, ref));
      return new SnapshotView(this.engine, this.historyOf.info(id, generation, this.displayName()), {
        id,
        root: this.historyOf.record(id).root,
      });
    });
  }

  async *diff(from: Ref | Snapshot, to: Ref | Snapshot = 'HEAD', options: { tensors?: boolean } = {}): AsyncGenerator<Change> {
    this.assertOpen();
    const grip = this.engine.lease.reading();
    try {
      const roots = [this.rootOf(from), this.rootOf(to)] as const;
      const changes = options.tensors === true ? tensorChangesBetween(this.engine, ...roots) : changesBetween(this.engine.nodes, ...roots);
      for await (const change of changes) {
        yield change;
        this.assertOpen();
      }
    } finally {
      grip.release();
    }
  }

  async tag(name: string, ref: Ref = 'HEAD', options: { force?: boolean } = {}): Promise<void> {
    this.assertWritable();
    checkTagName(name);
    const { id } = resolveRef(this.historyOf, ref);
    await this.engine.run(() =>
      this.engine.publisher.change(
        { type: 'tag', volumeId: this.volumeId, tag: name, snapshot: digestToHex(id) },
        { force: options.force ?? false, label: this.name },
      ),
    );
  }

  async untag(name: string): Promise<void> {
    this.assertWritable();
    await this.engine.run(() => this.engine.publisher.change({ type: 'untag', volumeId: this.volumeId, tag: name }, { label: this.name }));
  }

  async tags(): Promise<{ name: string; snapshot: SnapshotId }[]> {
    this.assertOpen();
    return Promise.resolve(this.historyOf.tags());
  }

  async prune(policy: PrunePolicy, options: Work & { dryRun?: boolean } = {}): Promise<PruneReport> {
    if (options.dryRun === true) this.assertOpen();
    else this.assertWritable();
    return this.engine.run(() => pruneVolume({ engine: this.engine, history: this.historyOf, name: this.displayName(), policy, options }));
  }

  protected displayName(): string {
    return this.historyOf.volume()?.name ?? this.name ?? '';
  }

  protected assertWritable(): void {
    this.assertOpen();
    if (this.readOnly) throw new ReadOnlyError(this.name === undefined ? 'this volume' : `volume '${this.name}'`);
  }

  /** @throws VolumeNotFoundError once the volume is deleted */
  protected currentVolume(): VolumeRecord {
    const volume = this.historyOf.volume();
    if (volume === undefined) throw new VolumeNotFoundError(this.name ?? 'ephemeral');
    return volume;
  }

  protected headPoint(): Point {
    return this.pointAt(this.currentVolume());
  }

  protected pointAt({ generation, head }: VolumeRecord): Point {
    return { generation, snapshot: head, root: head === null ? null : this.historyOf.record(head).root };
  }

  protected pointOf(ref: Ref): Point {
    const { generation, id } = resolveRef(this.historyOf, ref);
    return { generation, snapshot: id, root: this.historyOf.record(id).root };
  }

  protected infoAt({ snapshot, generation }: Point): SnapshotInfo | null {
    return snapshot === null ? null : this.historyOf.info(snapshot, generation, this.displayName());
  }

  private rootOf(point: Ref | Snapshot): ManifestRoot {
    if (typeof point === 'string' || point instanceof Date) return this.historyOf.record(resolveRef(this.historyOf, point).id).root;
    if (!(point instanceof SnapshotView) || point.engine !== this.engine) {
      throw new InvalidArgumentError(
        'a snapshot of another store cannot be compared',
        'give a ref of this volume, or a snapshot of a volume of the same store',
      );
    }
    return point.root;
  }
}
