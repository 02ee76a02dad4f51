import { EventEmitter } from 'node:events';
import fs from 'node:fs';
import { removeTree } from '../disk/trees.js';
import { CairnError, ClosedError } from '../errors.js';
import type {
  CommitOptions,
  Mount,
  MountCloseOptions,
  MountCommitResult,
  MountEvents,
  MountReloadOptions,
  MountReloadResult,
  MountStatus,
  SnapshotInfo,
  Work,
} from '../types.js';
import { Mutex } from '../util/mutex.js';
import { watchHeads } from '../volume/watch.js';
import { asCairnError, BackgroundCommits, type BackgroundPlan } from './background.js';
import { ControlServer } from './control-server.js';
import type { MountedFolder } from './folder.js';
import { followHeads } from './follow.js';
import type { MountEngine } from './parts.js';
import { StatePlaces } from './places.js';

export interface FolderMountOptions {
  background: BackgroundPlan | undefined;
  autoReload: boolean;
  /** Owned only for a call or two, on behalf of somebody who found no owner. */
  transient: boolean;
  /** Gives the ownership up. */
  release: () => void;
}

/** A mounted folder as its owner sees it: one operation at a time, those of other processes among them. */
export class FolderMount extends EventEmitter<MountEvents> implements Mount {
  readonly dir: string;
  private readonly engine: MountEngine;
  private readonly folder: MountedFolder;
  private readonly options: FolderMountOptions;
  private readonly turns = new Mutex();
  private readonly background: BackgroundCommits | undefined;
  private server: ControlServer | undefined;
  private closing: Promise<void> | undefined;
  private isClosed = false;
  private readonly ending = new AbortController();
  private following: Promise<void> | undefined;
  private lastCommit: MountCommitResult | undefined;
  private lastError: CairnError | undefined;

  /** Takes over a folder whose state is settled. */
  static async start(engine: MountEngine, folder: MountedFolder, options: FolderMountOptions): Promise<FolderMount> {
    const mount = new FolderMount(engine, folder, options);
    engine.mounts.add(mount);
    try {
      mount.server = await ControlServer.listen(engine.disk, mount.stateDir, mount);
    } catch (error) {
      mount.background?.stop();
      engine.mounts.delete(mount);
      throw error;
    }
    if (options.autoReload) mount.following = mount.follow();
    return mount;
  }

  private constructor(engine: MountEngine, folder: MountedFolder, options: FolderMountOptions) {
    super();
    this.engine = engine;
    this.folder = folder;
    this.options = options;
    this.dir = folder.places.dir;
    const { background } = options;
    if (background === undefined || folder.state.readOnly) return;
    this.background = new BackgroundCommits(
      background,
      () => this.round(background),
      () => this.round(undefined),
    );
  }

  get base(): SnapshotInfo | null {
    return this.folder.info(this.folder.state.base);
  }

  get readOnly(): boolean {
    return this.folder.state.readOnly;
  }

  status(options: Work = {}): Promise<MountStatus> {
    return this.inTurn(async () => {
      const difference = await this.folder.compare(options);
      const head = this.folder.head();
      return {
        base: this.base,
        head: this.folder.info(head),
        behind: this.folder.behind(head),
        ...difference,
        ...(this.lastCommit === undefined ? {} : { lastCommit: this.lastCommit }),
        ...(this.lastError === undefined ? {} : { lastError: this.lastError }),
        ownerPid: this.options.transient ? null : process.pid,
      };
    });
  }

  commit(options: CommitOptions = {}): Promise<MountCommitResult> {
    return this.inTurn(async () => {
      const result = await this.commitNow(options);
      if (result === undefined) throw new Error('a commit that was asked for has no result');
      return result;
    });
  }

  reload(options: MountReloadOptions = {}): Promise<MountReloadResult> {
    return this.inTurn(async () => {
      options.signal?.throwIfAborted();
      await this.folder.settle(options);
      const result = await this.folder.bring(this.folder.head(), options.onConflict ?? 'keep-local', options);
      if (this.base !== null) this.emit('reload', this.base);
      return result;
    });
  }

  async close(options: MountCloseOptions = {}): Promise<void> {
    const { removeFiles = false, unmount = removeFiles } = options;
    if (this.closing === undefined && removeFiles) await this.inTurn(() => this.assertCommitted());
    return (this.closing ??= this.end(unmount, removeFiles));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private get stateDir(): string {
    return new StatePlaces(this.engine.mountsDir, this.folder.state.id).dir;
  }

  private async end(unmount: boolean, removeFiles: boolean): Promise<void> {
    this.background?.stop();
    this.ending.abort();
    await this.following;
    await this.server?.close();
    await this.turns.run(async () => {
      try {
        if (this.background !== undefined) await this.engine.run(() => this.commitNow({}));
        if (unmount) this.forget(removeFiles);
      } finally {
        this.isClosed = true;
        this.engine.mounts.delete(this);
        this.options.release();
      }
    });
  }

  /** Nothing is lost: what is not committed is not removed either. */
  private async assertCommitted(): Promise<void> {
    if (this.background !== undefined) await this.commitNow({});
    const { added, modified, removed } = await this.folder.compare({});
    const changes = added.length + modified.length + removed.length;
    if (changes === 0) return;
    throw new CairnError('CAIRN_UNCOMMITTED_CHANGES', `'${this.dir}' has changes that are not committed: ${changes}`, {
      hint: 'commit them, or unmount without removing the files',
    });
  }

  /** The state goes first: without it the folder is only a folder, whatever is left of the rest, and no file that is gone looks deleted. */
  private forget(removeFiles: boolean): void {
    const { places } = this.folder;
    const { disk } = this.engine;
    if (!removeFiles && this.folder.state.readOnly) this.folder.setWriteBits(true);
    disk.unlink(new StatePlaces(this.engine.mountsDir, this.folder.state.id).state);
    try {
      disk.syncDirectory(this.stateDir);
      if (removeFiles) this.folder.removeFiles();
    } finally {
      // Whatever else cannot be removed: a folder that says that it is a mount, and is none, could not be mounted again.
      try {
        removeTree(disk, places.reserved);
      } finally {
        removeTree(disk, this.stateDir);
      }
    }
    if (removeFiles && fs.readdirSync(places.dir).length === 0) disk.removeFolder(places.dir);
  }

  private async commitNow(options: CommitOptions, background?: BackgroundPlan): Promise<MountCommitResult | undefined> {
    options.signal?.throwIfAborted();
    const result = await this.folder.commit(options, background);
    this.lastError = undefined;
    if (result !== undefined) this.lastCommit = result;
    if (result?.changed === true) this.emit('commit', result);
    return result;
  }

  /** Brings in every newer version until the mount is closed. Never rejects. */
  private async follow(): Promise<void> {
    const { engine, folder } = this;
    const failed = (error: unknown): void => {
      if (this.ending.signal.aborted) return;
      this.lastError = asCairnError(error);
      engine.diagnostics.log('warn', `'${this.dir}' does not follow its volume: ${this.lastError.message}`);
    };
    const heads = watchHeads({
      engine,
      history: folder.history,
      from: folder.state.base.generation,
      name: () => folder.volumeName,
      signal: undefined,
      closing: this.ending.signal,
      assertOpen: () => {
        if (this.ending.signal.aborted) throw new ClosedError('mount');
      },
    });
    await followHeads(heads, () => this.reload(), failed).catch(failed);
  }

  /** A round that nobody waits for: fails into an event. */
  private async round(plan: BackgroundPlan | undefined): Promise<void> {
    try {
      await this.inTurn(() => this.commitNow({}, plan));
    } catch (error) {
      if (this.isClosed) return;
      this.lastError = asCairnError(error);
      this.emit('commitFailed', this.lastError);
    }
  }

  private inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.turns.run(() => {
      if (this.isClosed) throw new ClosedError('mount');
      return this.engine.run(async () => {
        const grip = this.engine.lease.hold(this);
        try {
          return await work();
        } finally {
          this.folder.tidy();
          await this.folder.keepRoots().finally(() => grip.release());
        }
      });
    });
  }
}
