import type { ContentRef } from '../content/content.js';
import { EMPTY_CONTENT } from '../content/content.js';
import {
  CairnError,
  type DamageError,
  InvalidArgumentError,
  isCairnError,
  PathError,
  ReadOnlyError,
  VolumeNotFoundError,
} from '../errors.js';
import { digestToHex } from '../hash/digest.js';
import type { VolumeId, VolumeRecord } from '../index/records.js';
import type { Entry, ManifestRoot } from '../manifest/entry.js';
import { sameRoot } from '../manifest/entry.js';
import { mergeManifests } from '../manifest/merge.js';
import type { StagedObject } from '../objects/staging.js';
import { Staging } from '../objects/staging.js';
import type { Grip } from '../publish/own-lease.js';
import { IngestTally } from '../ingest/ingest.js';
import type {
  Batch,
  Bytes,
  Change,
  CommitOptions,
  CommitResult,
  FileHandle,
  PrunePolicy,
  PruneReport,
  Mount,
  MountOptions,
  ReadView,
  Ref,
  Snapshot,
  SnapshotId,
  SnapshotInfo,
  Volume,
  Work,
} from '../types.js';
import { Mutex } from '../util/mutex.js';
import { toNanoseconds } from '../util/time.js';
import type { BatchTarget } from './batch.js';
import { uploadBatch } from './batch.js';
import type { Point } from './commit.js';
import { chunkBytesOf, commitTree } from './commit.js';
import { copyEntries } from './copy.js';
import { changesBetween, countChanges } from './diff.js';
import { tensorChangesBetween } from './diff-tensors.js';
import type { SharedDraft } from './drafts.js';
import { Drafts } from './drafts.js';
import type { Engine } from './engine.js';
import { Grasp } from './grasp.js';
import { History, type Step } from './history.js';
import { OpenFile } from './open-file.js';
import { checkTagName, normalizePath } from './paths.js';
import { pruneVolume } from './prune.js';
import type { Sight } from './read-view.js';
import { requireFile, View } from './read-view.js';
import { resolveRef } from './resolve-ref.js';
import { SnapshotView, treeAt } from './snapshot-view.js';
import { stagedBelow } from '../snapshot/staged-below.js';
import { storeBytes } from './store-bytes.js';
import { watchHeads } from './watch.js';
import { WorkingTree } from './working-tree.js';

/** Objects held in memory before a commit; beyond this they go to a pack early. */
const MAX_STAGED_BYTES = 32 << 20;

/**
 * A volume's handle. Its tree is the base with all own changes in it, kept as a manifest like any other: reads, diffs and
 * merges of uncommitted changes are those of committed ones. New nodes and small chunks are staged in memory.
 */
export class VolumeHandle extends View implements Volume {
  readonly name: string | undefined;
  protected readonly what = 'volume';
  private readonly volumeId: VolumeId;
  private readonly readOnly: boolean;
  private readonly historyOf: History;
  private readonly staging: Staging;
  private readonly tree: WorkingTree;
  private readonly drafts: Drafts;
  private readonly grasp: Grasp;
  /** Guards the tree: every edit is one section. */
  private readonly editing = new Mutex();
  /** Guards the base: commit, reload and rollback one after another. */
  private readonly moving = new Mutex();
  /** Ends what waits, when the handle closes. */
  private readonly closing = new AbortController();
  private basePoint: Point;
  private baseInfo: SnapshotInfo | null;
  /** Why the base cannot be read. What needs it is refused with this; history and older snapshots do not. */
  private baseDamage: DamageError | undefined;
  /** What went to packs ahead of the next commit. */
  private tally = new IngestTally();

  constructor(engine: Engine, volume: VolumeRecord, options: { readOnly: boolean }) {
    super(engine);
    this.volumeId = volume.id;
    this.name = volume.name;
    this.readOnly = options.readOnly || engine.readOnly;
    this.historyOf = new History(volume.id, engine.index, engine.nodes);
    this.staging = new Staging(engine.nodes, engine.hasher);
    this.grasp = new Grasp(engine.lease, this);
    this.grasp.standOn(volume.head);
    this.basePoint = { generation: volume.generation, snapshot: volume.head, root: null };
    this.baseInfo = null;
    try {
      this.basePoint = this.pointAt(volume);
      this.baseInfo = this.infoAt(this.basePoint);
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
      this.baseDamage = error as DamageError;
    }
    this.tree = new WorkingTree(this.staging, this.basePoint.root, () => engine.now());
    this.drafts = new Drafts(engine, this.staging, this.tree);
  }

  get base(): SnapshotInfo | null {
    this.assertWhole();
    return this.baseInfo;
  }

  get dirty(): boolean {
    this.engine.assertOpen();
    return this.drafts.dirty || !sameRoot(this.tree.root(), this.basePoint.root);
  }

  sight(): Promise<Sight> {
    this.assertWhole();
    const now = (): Sight => {
      const nodes = this.staging.pinned();
      return { tree: treeAt(nodes, this.tree.root()), nodes };
    };
    return this.drafts.dirty ? this.edit(async () => (await this.drafts.settle(), now())) : Promise.resolve(now());
  }

  async writeFile(path: string, data: Bytes, options: Work & { executable?: boolean } = {}): Promise<void> {
    const normal = this.editable(path);
    return this.changing(async () => {
      const { content, adopt } = await this.storeAside(data, options);
      await this.edit(() => {
        adopt();
        this.tree.put(normal, this.fileEntry(content, options.executable ?? this.isExecutable(normal)));
        this.drafts.replace(normal, content);
      });
    });
  }

  async appendFile(path: string, data: Bytes, options: Work = {}): Promise<void> {
    const normal = this.editable(path);
    return this.changing(async () => {
      const { content, nodes, adopt } = await this.storeAside(data, options);
      await this.edit(async () => {
        adopt();
        const draft = this.openDraft(normal, true);
        try {
          const addition = this.engine.data.stream(content, 0, content.length, { nodes, verify: this.engine.verifyReads });
          for await (const piece of addition) await draft.write(draft.size, piece);
        } finally {
          draft.release();
        }
      });
    });
  }

  async open(path: string, flags: 'r' | 'r+' | 'w' = 'r'): Promise<FileHandle> {
    if (flags === 'r') return this.engine.run(() => this.openForReading(path));
    const normal = this.editable(path);
    return this.changing(() =>
      this.edit(async () => {
        const draft = this.openDraft(normal, flags === 'w');
        if (flags === 'w') await draft.truncate(0);
        const inTurn = <T>(work: () => Promise<T>): Promise<T> => this.changing(() => this.edit(work));
        return new OpenFile({
          writable: true,
          read: (position, target) => inTurn(() => draft.read(position, target)),
          write: (position, bytes) => inTurn(() => draft.write(position, bytes)),
          truncate: (size) => inTurn(() => draft.truncate(size)),
          close: () => inTurn(async () => (await draft.settle(), draft.release())),
        });
      }),
    );
  }

  async mkdir(path: string): Promise<void> {
    const normal = this.editable(path);
    return this.changing(() => this.settledEdit(() => this.tree.makeFolders(normal)));
  }

  async symlink(target: string, path: string): Promise<void> {
    const normal = this.editable(path);
    return this.changing(() =>
      this.settledEdit(() => {
        if (target === '' || target.includes('\0'))
          throw new PathError('EINVAL', normal, 'a symlink needs a target without NUL', 'name the path that it points to');
        this.tree.put(normal, { type: 'symlink', target, mtimeNs: toNanoseconds(this.engine.now()) });
      }),
    );
  }

  async rename(from: string, to: string): Promise<void> {
    const [source, destination] = [this.editable(from), this.editable(to)];
    return this.changing(() =>
      this.settledEdit(() => {
        this.tree.rename(source, destination);
        this.drafts.rename(source, destination);
      }),
    );
  }

  async copy(source: string | string[], destination: string, options: { recursive?: boolean; from?: ReadView } = {}): Promise<void> {
    const target = this.editable(destination);
    return this.changing(async () => {
      const from = options.from ?? this;
      // Entries of another handle may refer to what only that handle holds in memory.
      if (from instanceof VolumeHandle && from !== this && from.engine === this.engine) await from.edit(() => from.spill());
      await copyEntries({
        from,
        within: from === this,
        sources: [source].flat(),
        destination: target,
        intoFolder: /.\/$/.test(destination) || Array.isArray(source),
        recursive: options.recursive ?? false,
        engine: this.engine,
        staging: this.staging,
        tally: this.tally,
        tree: this.tree,
        edit: (work) => this.settledEdit(work),
      });
    });
  }

  async remove(path: string, options: { recursive?: boolean; allowMissing?: boolean } = {}): Promise<void> {
    const normal = this.editable(path);
    return this.changing(() =>
      this.settledEdit(() => {
        this.tree.remove(normal, { recursive: options.recursive ?? false, allowMissing: options.allowMissing ?? false });
        this.drafts.remove(normal);
      }),
    );
  }

  async commit(options: CommitOptions = {}): Promise<CommitResult> {
    return this.change(options.signal, () => this.publish({ ...options, refuseFileOverFolder: false }));
  }

  async rollback(ref: Ref, options: CommitOptions = {}): Promise<CommitResult> {
    return this.change(options.signal, async () => {
      await this.assertClean();
      const target = resolveRef(this.historyOf, ref);
      await this.moveTo(this.headPoint(), undefined);
      await this.edit(() => this.tree.reset(this.historyOf.record(target.id).root));
      try {
        return await this.publish({
          message: `rollback to ${digestToHex(target.id).slice(0, 12)}`,
          ...options,
          refuseFileOverFolder: false,
        });
      } catch (error) {
        await this.edit(() => this.tree.reset(this.basePoint.root));
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
        if (options.discard === true) {
          await this.edit(() => {
            this.tree.reset(this.basePoint.root);
            this.drafts.follow();
            this.staging.replaceWith(this.stagedNow());
          });
        }
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

  watch({ signal }: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<SnapshotInfo> {
    this.assertOpen();
    return watchHeads({
      engine: this.engine,
      history: this.historyOf,
      from: this.basePoint.generation,
      name: () => this.displayName(),
      signal,
      closing: this.closing.signal,
      assertOpen: () => this.assertOpen(),
    });
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

  async mount(dir: string, options: MountOptions = {}): Promise<Mount> {
    this.assertOpen();
    return this.engine.run(async () => {
      await this.assertClean();
      const at = options.at === undefined ? this.basePoint : this.pointOf(options.at);
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

  /** Stores data beside the tree; `adopt` makes it part of this handle, inside an edit section. */
  private async storeAside(data: Bytes, { signal, onProgress }: Work): Promise<{ content: ContentRef; nodes: Staging; adopt: () => void }> {
    const nodes = this.staging.aside();
    const tally = new IngestTally();
    const content = await storeBytes(this.engine, data, { signal, onProgress, sink: nodes, tally });
    const adopt = (): void => {
      this.staging.adopt(nodes);
      this.tally.add(tally);
    };
    return { content, nodes, adopt };
  }

  /** A file to edit in place. @throws FileNotFoundError unless it may be made; EISDIR and EINVAL on folders and symlinks. */
  private openDraft(path: string, create: boolean): SharedDraft {
    if (create && this.tree.get(path) === undefined) this.tree.put(path, this.fileEntry(EMPTY_CONTENT, false));
    return this.drafts.open(path, requireFile(this.tree, path));
  }

  private async openForReading(path: string): Promise<FileHandle> {
    const normal = normalizePath(path);
    const grip = this.lasting();
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
  }

  protected override held(user: object): Grip[] {
    return this.grasp.held(user);
  }

  private fileEntry(content: ContentRef, executable: boolean): Entry {
    return { type: 'file', content, executable, mtimeNs: toNanoseconds(this.engine.now()) };
  }

  private isExecutable(path: string): boolean {
    const entry = path === '' ? undefined : this.tree.get(path);
    return entry?.type === 'file' && entry.executable;
  }

  private displayName(): string {
    return this.historyOf.volume()?.name ?? this.name ?? '';
  }

  private editable(path: string): string {
    this.assertWritable();
    this.assertWhole();
    return normalizePath(path);
  }

  private assertWritable(): void {
    this.assertOpen();
    if (this.readOnly) throw new ReadOnlyError(this.name === undefined ? 'this volume' : `volume '${this.name}'`);
  }

  /** @throws DamageError when the base cannot be read: nothing can be read or changed on top of it */
  private assertWhole(): void {
    if (this.baseDamage !== undefined) throw this.baseDamage;
  }

  /** Runs a section that may change the tree; no two run at once. */
  private edit<T>(work: () => Promise<T> | T): Promise<T> {
    return this.editing.run(async () => {
      const result = await work();
      if (this.staging.sizeBytes > MAX_STAGED_BYTES) await this.spill();
      return result;
    });
  }

  /** An edit of the tree that has to see what was written to open files. */
  private settledEdit(work: () => void): Promise<void> {
    return this.edit(async () => {
      await this.drafts.settle();
      work();
      this.drafts.follow();
    });
  }

  /** Puts staged objects into a pack ahead of the commit, and drops those that nothing needs any more. Inside an edit section. */
  private async spill(): Promise<void> {
    await this.drafts.settle();
    const objects = this.stagedNow();
    this.tally.newBytes += chunkBytesOf(objects);
    this.tally.storedBytes += (await this.engine.publisher.writeObjects(objects)).storedBytes;
    this.engine.index.refresh();
    this.staging.replaceWith([]);
  }

  private stagedNow(): StagedObject[] {
    const root = this.tree.root();
    // What was published as it is has nothing staged below it.
    const unpublished = sameRoot(root, this.basePoint.root) ? null : root;
    return [...stagedBelow(this.staging, unpublished, this.drafts.contents())];
  }

  /** A call that makes references which no commit has yet. */
  private changing<T>(work: () => Promise<T>): Promise<T> {
    return this.engine.run(() => this.grasp.changing(work));
  }

  /** The same, after which none may be left. */
  private moved<T>(work: () => Promise<T>): Promise<T> {
    return this.engine.run(() =>
      this.grasp.changing(work, () => this.isClosed || (this.drafts.none && sameRoot(this.tree.root(), this.basePoint.root))),
    );
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
    const base = this.basePoint;
    const ours = await this.edit(async () => (await this.drafts.settle(), this.tree.root()));
    const counts = countChanges(this.staging, base.root, ours);
    const { engine, volumeId, staging, tally } = this;
    this.tally = new IngestTally();
    const committed = await commitTree({ engine, volumeId, volumeName: this.name, staging, tally, base, ours, options }).catch(
      (error: unknown) => {
        this.tally.add(tally);
        throw error;
      },
    );
    await this.moveTo(committed.head, ours);
    const snapshot = this.baseInfo;
    if (snapshot === null) throw new Error('a commit left no snapshot');
    const { logical, ...changes } = counts;
    const bytes = { logical, ...committed.bytes };
    if (committed.changed) engine.diagnostics.committed({ volume: snapshot.volume, snapshot: snapshot.id, bytes });
    return { snapshot, changed: committed.changed, ...changes, overwritten: committed.overwritten, bytes };
  }

  /**
   * Makes `head` the base, with what is uncommitted on top of it. `published` is this handle's tree as `head` holds it
   * already; undefined when it holds nothing of ours. (Null is a tree, too: the empty one.)
   */
  private async moveTo(head: Point, published: ManifestRoot | undefined): Promise<void> {
    await this.edit(async () => {
      await this.drafts.settle();
      const working = this.tree.root();
      const from = published === undefined ? this.basePoint.root : published;
      const root = sameRoot(working, from)
        ? head.root
        : mergeManifests(this.staging, this.staging, { base: from, ours: working, theirs: head.root }, () => 'ours').root;
      this.tree.reset(root, head.root);
      this.basePoint = head;
      this.grasp.standOn(head.snapshot);
      this.baseInfo = this.infoAt(head);
      this.baseDamage = undefined;
      this.drafts.follow();
      this.engine.index.refresh();
      this.staging.replaceWith(this.stagedNow());
    });
  }

  private async assertClean(): Promise<void> {
    const dirty = await this.edit(async () => (await this.drafts.settle(), this.dirty));
    if (dirty) {
      throw new CairnError('CAIRN_UNCOMMITTED_CHANGES', 'this handle has changes that are not committed', {
        hint: 'commit() them, or drop them with reload({ discard: true })',
      });
    }
  }

  /** @throws VolumeNotFoundError once the volume is deleted */
  private currentVolume(): VolumeRecord {
    const volume = this.historyOf.volume();
    if (volume === undefined) throw new VolumeNotFoundError(this.name ?? 'ephemeral');
    return volume;
  }

  private headPoint(): Point {
    return this.pointAt(this.currentVolume());
  }

  private pointAt({ generation, head }: VolumeRecord): Point {
    return { generation, snapshot: head, root: head === null ? null : this.historyOf.record(head).root };
  }

  private pointOf(ref: Ref): Point {
    const { generation, id } = resolveRef(this.historyOf, ref);
    return { generation, snapshot: id, root: this.historyOf.record(id).root };
  }

  private infoAt({ snapshot, generation }: Point): SnapshotInfo | null {
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

  private batchTarget(): BatchTarget {
    return {
      staging: this.staging,
      tree: this.tree,
      edit: (work) => this.edit(work),
      tally: this.tally,
      commit: (options) => this.publish(options),
    };
  }
}
