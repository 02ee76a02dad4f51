import { type ContentRef, EMPTY_CONTENT } from '../content/content.js';
import { PathError } from '../errors.js';
import type { VolumeId } from '../index/records.js';
import { IngestTally } from '../ingest/ingest.js';
import type { Entry, ManifestRoot } from '../manifest/entry.js';
import { sameRoot } from '../manifest/entry.js';
import { mergeManifests } from '../manifest/merge.js';
import { type StagedObject, Staging } from '../objects/staging.js';
import { stagedBelow } from '../snapshot/staged-below.js';
import type { Bytes, CommitOptions, FileHandle, Work } from '../types.js';
import { Mutex } from '../util/mutex.js';
import { toNanoseconds } from '../util/time.js';
import { chunkBytesOf, commitTree, type Point, type TreeCommitted } from './commit.js';
import { copyEntries, type CopyRequest } from './copy.js';
import { type ChangeCounts, countChanges } from './diff.js';
import { Drafts, type SharedDraft } from './drafts.js';
import type { Engine } from './engine.js';
import { OpenFile } from './open-file.js';
import { requireFile, type Sight } from './read-view.js';
import { treeAt } from './snapshot-view.js';
import { storeBytes } from './store-bytes.js';
import { WorkingTree } from './working-tree.js';

/** Objects held in memory before a commit; beyond this they go to a pack early. */
const MAX_STAGED_BYTES = 32 << 20;

/** A tree that was published, what it changed, and what became of it. */
export interface Published {
  ours: ManifestRoot;
  changes: ChangeCounts;
  committed: TreeCommitted;
}

/**
 * The tree of a volume's handle: its base with all own changes in it, kept as a manifest like any other, so that reads, diffs and
 * merges of uncommitted changes are those of committed ones. New nodes and small chunks are staged in memory. Paths are normalized.
 */
export class WorkingCopy {
  readonly staging: Staging;
  readonly tree: WorkingTree;
  private readonly engine: Engine;
  private readonly drafts: Drafts;
  /** Guards the tree: every edit is one section. */
  private readonly editing = new Mutex();
  private basePoint: Point;
  /** What went to packs ahead of the next commit. */
  private tallied = new IngestTally();

  constructor(engine: Engine, base: Point) {
    this.engine = engine;
    this.basePoint = base;
    this.staging = new Staging(engine.nodes, engine.hasher);
    this.tree = new WorkingTree(this.staging, base.root, () => engine.now());
    this.drafts = new Drafts(engine, this.staging, this.tree);
  }

  /** What the changes are made on. */
  get base(): Point {
    return this.basePoint;
  }

  get dirty(): boolean {
    return this.drafts.dirty || !this.isBase;
  }

  /** Whether nothing here refers to anything that no commit has, and no file is open for writing. */
  get isClear(): boolean {
    return this.drafts.none && this.isBase;
  }

  get tally(): IngestTally {
    return this.tallied;
  }

  /** The tree as it is now, open files included. */
  sight(): Promise<Sight> {
    const now = (): Sight => {
      const nodes = this.staging.pinned();
      return { tree: treeAt(nodes, this.tree.root()), nodes };
    };
    return this.drafts.dirty ? this.edit(async () => (await this.drafts.settle(), now())) : Promise.resolve(now());
  }

  async writeFile(path: string, data: Bytes, options: Work & { executable?: boolean }): Promise<void> {
    const { content, adopt } = await this.storeAside(data, options);
    await this.edit(() => {
      adopt();
      this.tree.put(path, this.fileEntry(content, options.executable ?? this.isExecutable(path)));
      this.drafts.replace(path, content);
    });
  }

  async appendFile(path: string, data: Bytes, options: Work): Promise<void> {
    const { content, nodes, adopt } = await this.storeAside(data, options);
    await this.edit(async () => {
      adopt();
      const draft = this.openDraft(path, { create: true });
      try {
        const addition = this.engine.data.stream(content, 0, content.length, { nodes, verify: this.engine.verifyReads });
        for await (const piece of addition) await draft.write(draft.size, piece);
      } finally {
        draft.release();
      }
    });
  }

  /** Opens a file to edit it in place, emptied when it is made anew; every call on it goes by way of `call`. */
  open(path: string, { anew }: { anew: boolean }, call: <T>(work: () => Promise<T>) => Promise<T>): Promise<FileHandle> {
    return this.edit(async () => {
      const draft = this.openDraft(path, { create: anew });
      if (anew) await draft.truncate(0);
      const inTurn = <T>(work: () => Promise<T>): Promise<T> => call(() => this.edit(work));
      return new OpenFile({
        writable: true,
        read: (position, target) => inTurn(() => draft.read(position, target)),
        write: (position, bytes) => inTurn(() => draft.write(position, bytes)),
        truncate: (size) => inTurn(() => draft.truncate(size)),
        close: () => inTurn(async () => (await draft.settle(), draft.release())),
      });
    });
  }

  makeFolders(path: string): Promise<void> {
    return this.settledEdit(() => this.tree.makeFolders(path));
  }

  symlink(target: string, path: string): Promise<void> {
    return this.settledEdit(() => {
      if (target === '' || target.includes('\0'))
        throw new PathError('EINVAL', path, 'a symlink needs a target without NUL', 'name the path that it points to');
      this.tree.put(path, { type: 'symlink', target, mtimeNs: toNanoseconds(this.engine.now()) });
    });
  }

  rename(from: string, to: string): Promise<void> {
    return this.settledEdit(() => {
      this.tree.rename(from, to);
      this.drafts.rename(from, to);
    });
  }

  copy(request: CopyRequest): Promise<void> {
    const { engine, staging, tallied: tally, tree } = this;
    return copyEntries({ ...request, engine, staging, tally, tree, edit: (work) => this.settledEdit(work) });
  }

  remove(path: string, options: { recursive: boolean; allowMissing: boolean }): Promise<void> {
    return this.settledEdit(() => {
      this.tree.remove(path, options);
      this.drafts.remove(path);
    });
  }

  /** Runs a section that may change the tree; no two run at once. */
  edit<T>(work: () => Promise<T> | T): Promise<T> {
    return this.editing.run(async () => {
      const result = await work();
      if (this.staging.sizeBytes > MAX_STAGED_BYTES) await this.spill();
      return result;
    });
  }

  /** Puts what is staged into a pack ahead of the commit, for others who want to refer to it. */
  publishStaged(): Promise<void> {
    return this.edit(() => this.spill());
  }

  /** Drops all changes. */
  discard(): Promise<void> {
    return this.edit(() => {
      this.tree.reset(this.basePoint.root);
      this.drafts.follow();
      this.staging.replaceWith(this.stagedNow());
    });
  }

  /** Makes the tree another one, as a change of the base. */
  replaceTree(root: ManifestRoot): Promise<void> {
    return this.edit(() => this.tree.reset(root));
  }

  /** Whether there are changes, open files included. */
  async settledDirty(): Promise<boolean> {
    return this.edit(async () => (await this.drafts.settle(), this.dirty));
  }

  /** Publishes the tree as the volume's next snapshot. The base stays what it was, until `moveTo`. */
  async publish(
    volume: { id: VolumeId; name: string | undefined },
    options: CommitOptions & { refuseFileOverFolder: boolean },
  ): Promise<Published> {
    const base = this.basePoint;
    const ours = await this.edit(async () => (await this.drafts.settle(), this.tree.root()));
    const changes = countChanges(this.staging, base.root, ours);
    const { engine, staging, tallied: tally } = this;
    this.tallied = new IngestTally();
    const order = { engine, volumeId: volume.id, volumeName: volume.name, staging, tally, base, ours, options };
    const committed = await commitTree(order).catch((error: unknown) => {
      this.tallied.add(tally);
      throw error;
    });
    return { ours, changes, committed };
  }

  /**
   * Makes `head` the base, with what is uncommitted on top of it. `published` is this tree as `head` holds it already; undefined when
   * it holds nothing of ours. (Null is a tree, too: the empty one.) `moved` runs at that very moment.
   */
  moveTo(head: Point, published: ManifestRoot | undefined, moved: () => void): Promise<void> {
    return this.edit(async () => {
      await this.drafts.settle();
      const working = this.tree.root();
      const from = published === undefined ? this.basePoint.root : published;
      const root = sameRoot(working, from)
        ? head.root
        : mergeManifests(this.staging, this.staging, { base: from, ours: working, theirs: head.root }, () => 'ours').root;
      this.tree.reset(root, head.root);
      this.basePoint = head;
      moved();
      this.drafts.follow();
      this.engine.index.refresh();
      this.staging.replaceWith(this.stagedNow());
    });
  }

  private get isBase(): boolean {
    return sameRoot(this.tree.root(), this.basePoint.root);
  }

  /** An edit of the tree that has to see what was written to open files. */
  private settledEdit(work: () => void): Promise<void> {
    return this.edit(async () => {
      await this.drafts.settle();
      work();
      this.drafts.follow();
    });
  }

  /** Stores data beside the tree; `adopt` makes it part of this copy, inside an edit section. */
  private async storeAside(data: Bytes, { signal, onProgress }: Work): Promise<{ content: ContentRef; nodes: Staging; adopt: () => void }> {
    const nodes = this.staging.aside();
    const tally = new IngestTally();
    const content = await storeBytes(this.engine, data, { signal, onProgress, sink: nodes, tally });
    const adopt = (): void => {
      this.staging.adopt(nodes);
      this.tallied.add(tally);
    };
    return { content, nodes, adopt };
  }

  /** A file to edit in place. @throws FileNotFoundError unless it may be made; EISDIR and EINVAL on folders and symlinks. */
  private openDraft(path: string, { create }: { create: boolean }): SharedDraft {
    if (create && this.tree.get(path) === undefined) this.tree.put(path, this.fileEntry(EMPTY_CONTENT, false));
    return this.drafts.open(path, requireFile(this.tree, path));
  }

  private fileEntry(content: ContentRef, executable: boolean): Entry {
    return { type: 'file', content, executable, mtimeNs: toNanoseconds(this.engine.now()) };
  }

  private isExecutable(path: string): boolean {
    const entry = path === '' ? undefined : this.tree.get(path);
    return entry?.type === 'file' && entry.executable;
  }

  /** Puts staged objects into a pack, and drops those that nothing needs any more. Inside an edit section. */
  private async spill(): Promise<void> {
    await this.drafts.settle();
    const objects = this.stagedNow();
    this.tallied.newBytes += chunkBytesOf(objects);
    this.tallied.storedBytes += (await this.engine.publisher.writeObjects(objects)).storedBytes;
    this.engine.index.refresh();
    this.staging.replaceWith([]);
  }

  private stagedNow(): StagedObject[] {
    const root = this.tree.root();
    // What was published as it is has nothing staged below it.
    const unpublished = sameRoot(root, this.basePoint.root) ? null : root;
    return [...stagedBelow(this.staging, unpublished, this.drafts.contents())];
  }
}
