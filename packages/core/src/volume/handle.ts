import { CairnError, type DamageError, isCairnError, ReadOnlyError } from '../errors.js';
import { digestToHex } from '../hash/digest.js';
import type { VolumeRecord } from '../index/records.js';
import type { ManifestRoot } from '../manifest/entry.js';
import type { Grip } from '../publish/own-lease.js';
import type {
  Batch,
  Bytes,
  CommitOptions,
  CommitResult,
  FileHandle,
  Mount,
  MountOptions,
  ReadView,
  Ref,
  SnapshotInfo,
  Volume,
  Work,
} from '../types.js';
import { Mutex } from '../util/mutex.js';
import type { BatchTarget } from './batch.js';
import { uploadBatch } from './batch.js';
import type { Point } from './commit.js';
import type { Engine } from './engine.js';
import { Grasp } from './grasp.js';
import { OpenFile } from './open-file.js';
import { normalizePath } from './paths.js';
import type { Sight } from './read-view.js';
import { requireFile } from './read-view.js';
import { resolveRef } from './resolve-ref.js';
import { VolumeView } from './volume-view.js';
import { watchHeads } from './watch.js';
import { WorkingCopy } from './working-copy.js';

/** A volume's handle: its working copy, and what moves that along the volume's history. */
export class VolumeHandle extends VolumeView implements Volume {
  private readonly working: WorkingCopy;
  private readonly grasp: Grasp;
  /** Guards the base: commit, reload and rollback one after another. */
  private readonly moving = new Mutex();
  /** Ends what waits, when the handle closes. */
  private readonly closing = new AbortController();
  private baseInfo: SnapshotInfo | null = null;
  /** Why the base cannot be read. What needs it is refused with this; history and older snapshots do not. */
  private baseDamage: DamageError | undefined;

  constructor(engine: Engine, volume: VolumeRecord, options: { readOnly: boolean }) {
    super(engine, volume, options);
    this.grasp = new Grasp(engine.lease, this);
    this.grasp.standOn(volume.head);
    let base: Point = { generation: volume.generation, snapshot: volume.head, root: null };
    try {
      base = this.pointAt(volume);
      this.baseInfo = this.infoAt(base);
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
      this.baseDamage = error as DamageError;
    }
    this.working = new WorkingCopy(engine, base);
  }

  get base(): SnapshotInfo | null {
    this.assertWhole();
    return this.baseInfo;
  }

  get dirty(): boolean {
    this.engine.assertOpen();
    return this.working.dirty;
  }

  sight(): Promise<Sight> {
    this.assertWhole();
    return this.working.sight();
  }

  async writeFile(path: string, data: Bytes, options: Work & { executable?: boolean } = {}): Promise<void> {
    const normal = this.editable(path);
    return this.changing(() => this.working.writeFile(normal, data, options));
  }

  async appendFile(path: string, data: Bytes, options: Work = {}): Promise<void> {
    const normal = this.editable(path);
    return this.changing(() => this.working.appendFile(normal, data, options));
  }

  async open(path: string, flags: 'r' | 'r+' | 'w' = 'r'): Promise<FileHandle> {
    if (flags === 'r') return this.engine.run(() => this.openForReading(path));
    const normal = this.editable(path);
    const call = <T>(work: () => Promise<T>): Promise<T> => this.changing(work);
    return call(() => this.working.open(normal, { anew: flags === 'w' }, call));
  }

  async mkdir(path: string): Promise<void> {
    const normal = this.editable(path);
    return this.changing(() => this.working.makeFolders(normal));
  }

  async symlink(target: string, path: string): Promise<void> {
    const normal = this.editable(path);
    return this.changing(() => this.working.symlink(target, normal));
  }

  async rename(from: string, to: string): Promise<void> {
    const [source, destination] = [this.editable(from), this.editable(to)];
    return this.changing(() => this.working.rename(source, destination));
  }

  async copy(source: string | string[], destination: string, options: { recursive?: boolean; from?: ReadView } = {}): Promise<void> {
    const target = this.editable(destination);
    return this.changing(async () => {
      const from = options.from ?? this;
      // Entries of another handle may refer to what only that handle holds in memory.
      if (from instanceof VolumeHandle && from !== this && from.engine === this.engine) await from.working.publishStaged();
      await this.working.copy({
        from,
        within: from === this,
        sources: [source].flat(),
        destination: target,
        intoFolder: /.\/$/.test(destination) || Array.isArray(source),
        recursive: options.recursive ?? false,
      });
    });
  }

  async remove(
    path: string,
    { recursive = false, allowMissing = false }: { recursive?: boolean; allowMissing?: boolean } = {},
  ): Promise<void> {
    const normal = this.editable(path);
    return this.changing(() => this.working.remove(normal, { recursive, allowMissing }));
  }

  async commit(options: CommitOptions = {}): Promise<CommitResult> {
    return this.change(options.signal, () => this.publish({ ...options, refuseFileOverFolder: false }));
  }

  async rollback(ref: Ref, options: CommitOptions = {}): Promise<CommitResult> {
    return this.change(options.signal, async () => {
      await this.assertClean();
      const target = resolveRef(this.historyOf, ref);
      await this.moveTo(this.headPoint(), undefined);
      await this.working.replaceTree(this.historyOf.record(target.id).root);
      try {
        return await this.publish({
          message: `rollback to ${digestToHex(target.id).slice(0, 12)}`,
          ...options,
          refuseFileOverFolder: false,
        });
      } catch (error) {
        await this.working.replaceTree(this.working.base.root);
        throw error;
      }
    });
  }

  async reload(options: Work & { discard?: boolean } = {}): Promise<{ from: SnapshotInfo | null; to: SnapshotInfo | null }> {
    return this.moved(() =>
      this.moving.run(async () => {
        this.assertOpen();
        options.signal?.throwIfAborted();
        const from = this.baseInfo;
        if (options.discard === true) await this.working.discard();
        await this.moveTo(this.headPoint(), undefined);
        return { from, to: this.baseInfo };
      }),
    );
  }

  async batchUpload(edit: (batch: Batch) => Promise<void>, options: CommitOptions & { force?: boolean } = {}): Promise<CommitResult> {
    this.assertWritable();
    return this.moved(async () => {
      options.signal?.throwIfAborted();
      // A handle of its own, so that this one can commit and reload however long the batch takes.
      const scratch = new VolumeHandle(this.engine, this.currentVolume(), { readOnly: false });
      try {
        scratch.assertWhole();
        const result = await uploadBatch({ engine: this.engine, edit, options, target: scratch.batchTarget() });
        await this.moving.run(() => this.moveTo(this.headPoint(), undefined));
        return result;
      } finally {
        scratch.grasp.release();
      }
    });
  }

  watch({ signal }: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<SnapshotInfo> {
    this.assertOpen();
    return watchHeads({
      engine: this.engine,
      history: this.historyOf,
      from: this.working.base.generation,
      name: () => this.displayName(),
      signal,
      closing: this.closing.signal,
      assertOpen: () => this.assertOpen(),
    });
  }

  async mount(dir: string, options: MountOptions = {}): Promise<Mount> {
    this.assertOpen();
    return this.engine.run(async () => {
      await this.assertClean();
      const at = options.at === undefined ? this.working.base : this.pointOf(options.at);
      return this.engine.mount({
        volumeId: this.volumeId,
        volumeName: this.displayName(),
        readOnly: this.readOnly,
        at,
        dir,
        options,
      });
    });
  }

  override async close(): Promise<void> {
    if (this.isClosed) return;
    await this.moving.run(() => super.close());
    this.grasp.release();
    this.closing.abort();
    if (this.name !== undefined || this.readOnly) return;
    const deleted = this.engine.run(() =>
      this.engine.publisher.change({ type: 'volume-deleted', volumeId: this.volumeId }, { allowMissing: true }),
    );
    await deleted.catch((error: unknown) => {
      // A store that was closed first leaves it to the next one that opens it.
      if (!isCairnError(error, 'CAIRN_CLOSED')) throw error;
    });
  }

  private async openForReading(path: string): Promise<FileHandle> {
    const normal = normalizePath(path);
    const grip = this.lasting();
    try {
      const { tree, nodes } = await this.sight();
      const content = requireFile(tree, normal);
      return new OpenFile({
        writable: false,
        read: (position, target) =>
          this.engine.run(() => this.engine.data.readInto([{ content, position, target }], { nodes, verify: this.engine.verifyReads })),
        write: () => Promise.reject(new ReadOnlyError('a file opened for reading')),
        truncate: () => Promise.reject(new ReadOnlyError('a file opened for reading')),
        close: () => Promise.resolve(grip.release()),
      });
    } catch (error) {
      grip.release();
      throw error;
    }
  }

  protected override held(user: object): Grip[] {
    return this.grasp.held(user);
  }

  private editable(path: string): string {
    this.assertWritable();
    this.assertWhole();
    return normalizePath(path);
  }

  /** @throws DamageError when the base cannot be read: nothing can be read or changed on top of it */
  private assertWhole(): void {
    if (this.baseDamage !== undefined) throw this.baseDamage;
  }

  /** A call that makes references which no commit has yet. */
  private changing<T>(work: () => Promise<T>): Promise<T> {
    return this.engine.run(() => this.grasp.changing(work));
  }

  /** The same, after which none may be left. */
  private moved<T>(work: () => Promise<T>): Promise<T> {
    return this.engine.run(() => this.grasp.changing(work, () => this.isClosed || this.working.isClear));
  }

  /** A change of the base: one at a time, and not on a read-only handle. */
  private change<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    this.assertWritable();
    this.assertWhole();
    return this.moved(() =>
      this.moving.run(() => {
        this.assertOpen();
        signal?.throwIfAborted();
        return work();
      }),
    );
  }

  private async publish(options: CommitOptions & { refuseFileOverFolder: boolean }): Promise<CommitResult> {
    const { ours, changes, committed } = await this.working.publish({ id: this.volumeId, name: this.name }, options);
    await this.moveTo(committed.head, ours);
    const snapshot = this.baseInfo;
    if (snapshot === null) throw new Error('a commit left no snapshot');
    const { logical, ...counts } = changes;
    const bytes = { logical, ...committed.bytes };
    if (committed.changed) this.engine.diagnostics.committed({ volume: snapshot.volume, snapshot: snapshot.id, bytes });
    return { snapshot, changed: committed.changed, ...counts, overwritten: committed.overwritten, bytes };
  }

  /** Makes `head` the base, with what is uncommitted on top of it; `published`: see the working copy. */
  private moveTo(head: Point, published: ManifestRoot | undefined): Promise<void> {
    return this.working.moveTo(head, published, () => {
      this.grasp.standOn(head.snapshot);
      this.baseInfo = this.infoAt(head);
      this.baseDamage = undefined;
    });
  }

  private async assertClean(): Promise<void> {
    const dirty = await this.working.settledDirty();
    if (dirty) {
      throw new CairnError('CAIRN_UNCOMMITTED_CHANGES', 'this handle has changes that are not committed', {
        hint: 'commit() them, or drop them with reload({ discard: true })',
      });
    }
  }

  private batchTarget(): BatchTarget {
    const { staging, tree, tally } = this.working;
    return { staging, tree, tally, edit: (work) => this.working.edit(work), commit: (options) => this.publish(options) };
  }
}
