import { dirname } from 'node:path';
import { ConflictError, ReadOnlyError, VolumeNotFoundError } from '../errors.js';
import { mergeManifests } from '../manifest/merge.js';
import { ObjectKind } from '../hash/object-kind.js';
import { type ManifestRoot, sameEntry, sameRoot } from '../manifest/entry.js';
import { IngestTally } from '../ingest/ingest.js';
import { Staging } from '../objects/staging.js';
import { stagedBelow } from '../snapshot/staged-below.js';
import type { CommitOptions, CommitResult, MountCommitResult, SnapshotInfo, Work } from '../types.js';
import { chunkBytesOf, commitTree, type Point, type TreeCommitted } from '../volume/commit.js';
import { countChanges } from '../volume/diff.js';
import { History } from '../volume/history.js';
import { IgnoreRules } from '../volume/ignore-rules.js';
import { applyChanges, clearTemporaries } from './apply.js';
import { Asides } from './asides.js';
import { syncNames } from './durable-names.js';
import { storeChanges } from './folder-changes.js';
import { replaceFile } from './durable-file.js';
import { notAMount, readFolderId } from './folder-id.js';
import { openForWriting } from './open-files.js';
import type { MountEngine } from './parts.js';
import { FolderPlaces, StatePlaces } from './places.js';
import { lstat } from './lstat.js';
import { differenceOf, type FolderDifference } from './difference.js';
import { type Comparing, stampIfSame } from './same-bytes.js';
import { type Candidate, Scan } from './scan.js';
import { type FolderChange, Window } from './seen-tree.js';
import type { Stamp } from '../stamps/stamp.js';
import { StatCache } from './stat-cache.js';
import { bootId } from './boot.js';
import { encodeState, rootsOf, type MountState } from './state.js';
import { changesTo, withhold } from './target-plan.js';
import { removeShown, setWriteBits } from './shown-files.js';
import { isOwnAside, tornFiles } from './torn-files.js';
import { NoWriteBits, WRITABLE, type WriteBits } from './write-bits.js';

export interface Brought {
  updated: number;
  conflicts: string[];
  /** Files that are open for writing: they keep their version until the next time. */
  busy: string[];
}

/**
 * A mounted folder and its durable state: what the folder holds, what is committed of it, and how to move either. One process
 * works with it, one operation at a time; each begins by ending what another one left half done.
 */
export class MountedFolder {
  readonly places: FolderPlaces;
  readonly history: History;
  private readonly engine: MountEngine;
  private readonly own: StatePlaces;
  private readonly staging: Staging;
  private readonly window: Window;
  private readonly rules: IgnoreRules;
  private readonly cache: StatCache;
  private current: MountState;

  constructor(engine: MountEngine, state: MountState) {
    this.engine = engine;
    this.current = state;
    this.places = new FolderPlaces(state.dir);
    this.own = new StatePlaces(engine.mountsDir, state.id);
    this.history = new History(state.volume, engine.index, engine.nodes);
    this.staging = new Staging(engine.nodes, engine.hasher);
    this.window = new Window(this.staging, state.subPath);
    this.rules = new IgnoreRules(state.ignore);
    this.cache = StatCache.load(engine.disk, this.own.dir, state.seen, engine.hasher);
  }

  get state(): MountState {
    return this.current;
  }

  get volumeName(): string {
    return this.history.volume()?.name ?? '';
  }

  /** Null for no version, and for one that was pruned and collected: the folder keeps the files of it, and not its record. */
  info({ generation, snapshot }: Pick<Point, 'generation' | 'snapshot'>): SnapshotInfo | null {
    const { volumeName } = this;
    if (snapshot === null || this.engine.index.locate(ObjectKind.snapshot, snapshot) === undefined) return null;
    return this.history.info(snapshot, generation, volumeName);
  }

  /** @throws VolumeNotFoundError once the volume is deleted */
  head(): Point {
    const volume = this.history.volume();
    if (volume === undefined) throw new VolumeNotFoundError(this.current.volume);
    return {
      generation: volume.generation,
      snapshot: volume.head,
      root: volume.head === null ? null : this.history.record(volume.head).root,
    };
  }

  /** Versions at the head that the folder has not got. */
  behind(head: Point): number {
    const { seen, base, ownCommits } = this.current;
    return sameRoot(head.root, seen) ? 0 : Math.max(head.generation - base.generation - ownCommits, 1);
  }

  /** Ends what was cut short: a commit that may have been published, a version that is only half in the folder. */
  async settle(work: Work = {}): Promise<void> {
    // A folder that was removed, or another one in its place, would look as if all had been deleted.
    if (readFolderId(this.places)?.id !== this.current.id) throw notAMount(this.places.dir);
    if (this.current.pending !== undefined) await this.settleCommit();
    if (lstat(this.places.aside) !== undefined) await this.endSwap();
    clearTemporaries(this.engine.disk, this.places);
    await this.mend(work);
    if (this.current.target !== undefined) await this.bring(this.current.target, 'keep-local', work);
  }

  /** Publishes what changed in the folder. Undefined for a background round that found nothing. */
  async commit(options: CommitOptions, background?: { settleMs: number }): Promise<MountCommitResult | undefined> {
    if (this.current.readOnly) throw new ReadOnlyError(`the mount '${this.places.dir}'`);
    await this.settle(options);
    const { seen, base } = this.current;
    const scan = this.scan(options.signal);
    await scan.all();
    const tree = await storeChanges(this.storing, seen, scan, options, background && unsettled(this.places.dir, background.settleMs));
    const { busy, skipped } = tree;
    const head = this.head();
    const snapshot = this.info(head);
    if (sameRoot(tree.root, seen) && (background !== undefined || (snapshot !== null && isPlain(options)))) {
      this.saveCache();
      if (background !== undefined || snapshot === null) return undefined;
      const bytes = { logical: 0, new: 0, stored: 0 };
      return { snapshot, changed: false, added: 0, modified: 0, removed: 0, overwritten: [], bytes, busy, skipped };
    }
    const counts = countChanges(this.staging, seen, tree.root);
    await this.makeDurable(tree.root, tree.tally);
    syncNames(this.engine.disk, this.places, this.window.diff(seen, tree.root));
    this.tidy();
    this.save({ ...this.current, pending: { generation: head.generation, root: tree.root } });
    const committed = await commitTree({
      engine: this.engine,
      volumeId: this.current.volume,
      volumeName: this.volumeName,
      staging: this.staging,
      tally: tree.tally,
      base: { ...base, root: seen },
      ours: tree.root,
      options: { ...options, refuseFileOverFolder: false },
    });
    this.hold(tree.root, committed.head, committed.changed);
    this.learn(tree.stamps);
    this.saveCache();
    return { ...this.report(committed, counts), busy, skipped };
  }

  /** Brings a version into the folder; what is not committed stays on top of it. @throws ConflictError with 'fail', before anything is touched. */
  async bring(target: Point, onConflict: 'keep-local' | 'fail', work: Work): Promise<Brought> {
    const { seen } = this.current;
    const changes = changesTo(this.window, seen, target.root);
    const scan = this.scan(work.signal);
    await scan.changed(changes);
    const local = await storeChanges(this.storing, seen, scan, work);
    const busy = [...new Set([...local.busy, ...unavailable(this.places, changes, local.skipped)])].sort();
    const reachable = withhold(this.window, seen, target.root, busy);
    const conflicts: string[] = [];
    const roots = { base: seen, ours: local.root, theirs: reachable };
    const wanted = mergeManifests(this.staging, this.staging, roots, ({ path }) => {
      conflicts.push(this.window.inner(path));
      return onConflict === 'fail' ? 'conflict' : 'ours';
    });
    if (wanted.conflicts.length > 0) throw new ConflictError(conflicts);

    // From here on a crash is mended by doing it again, for which the files that are replaced have to be known.
    await this.makeDurable(reachable);
    this.saveCache();
    this.save({ ...this.current, bootId: bootId(), target: { ...target, root: reachable } });
    const { engine, places, staging: nodes, cache } = this;
    const parts = { engine, disk: engine.disk, places, nodes, cache, writeBits: this.writeBits() };
    const { updated, kept, stamps } = await applyChanges(parts, [...this.window.diff(local.root, wanted.root)], work);

    const { target: _done, ...rest } = this.current;
    const { generation, snapshot } = target;
    this.save({ ...rest, seen: reachable, base: { generation, snapshot }, ownCommits: 0 });
    // What was in the folder already, as after a crash, is known by having been read.
    const there = [...local.stamps].filter(([path]) => sameEntry(this.window.get(local.root, path), this.window.get(reachable, path)));
    this.learn([...there, ...stamps]);
    this.saveCache();
    return { updated, conflicts: [...new Set([...conflicts, ...kept])].sort(), busy };
  }

  /** How the folder differs from what it held. Reads only files that may differ, and stores nothing. */
  async compare(work: Work): Promise<FolderDifference> {
    await this.settle(work);
    const scan = this.scan(work.signal);
    await scan.all();
    const written = scan.candidates.length === 0 ? new Set<bigint>() : openForWriting(this.places.dir);
    const changed = new Set<Candidate>();
    for (const file of scan.candidates) {
      work.signal?.throwIfAborted();
      const stamp = await this.stampIfSame(file);
      if (stamp === undefined) changed.add(file);
      else this.cache.set(file.name, stamp);
    }
    this.saveCache();
    return differenceOf(scan.edits, changed, {
      before: (path) => this.window.get(this.current.seen, path),
      written: ({ stamp }) => written.has(stamp.inode),
    });
  }

  setReadOnly(readOnly: boolean): void {
    this.save({ ...this.current, readOnly });
    this.setWriteBits(!readOnly);
  }

  setWriteBits(writable: boolean): void {
    setWriteBits(this.engine.disk, this.places, this.window.walk(this.current.seen, ''), writable);
  }

  /** For a folder of a mount whose state was lost, which may have been one for reading only. */
  lendWriteBits(): void {
    const { seen, target } = this.current;
    for (const root of [seen, target?.root ?? null]) setWriteBits(this.engine.disk, this.places, this.window.walk(root, ''), true);
  }

  /** Removes the files that the folder shows, and no others. */
  removeFiles(): void {
    if (this.current.readOnly) this.setWriteBits(true);
    removeShown(this.engine.disk, this.places, this.window.walk(this.current.seen, ''));
  }

  saveCache(): void {
    if (!this.cache.isChangedFor(this.current.seen)) return;
    this.cache.save(this.current.seen);
  }

  /**
   * What the state names has to stay, from when it names it. Whoever names something holds a grip on it: what a collection condemned
   * meanwhile, not knowing of the state, is kept from now on.
   */
  async keepRoots(): Promise<void> {
    const { index, lease, publisher } = this.engine;
    index.refresh();
    if ((lease.pendingEpoch ?? 0) < index.state().epoch) await publisher.retain(rootsOf(this.current));
  }

  /** Forgets what only operations of before needed. */
  tidy(): void {
    this.staging.replaceWith([]);
  }

  private get storing(): { engine: MountEngine; window: Window; staging: Staging; cache: StatCache } {
    return { engine: this.engine, window: this.window, staging: this.staging, cache: this.cache };
  }

  private get comparing(): Comparing {
    return { disk: this.engine.disk, nodes: this.staging, hasher: this.engine.hasher };
  }

  private writeBits(): WriteBits {
    return this.current.readOnly ? new NoWriteBits(this.engine.disk) : WRITABLE;
  }

  private scan(signal: AbortSignal | undefined): Scan {
    const { window, places, cache, rules } = this;
    return new Scan({ window, seen: this.current.seen, places, cache, workers: this.engine.pool, rules, signal });
  }

  /**
   * Whether a commit that was cut short was published: whether some version since then has all that it was to publish. Offered
   * again, it would undo what others committed on top of it.
   */
  private async settleCommit(): Promise<void> {
    const { pending, seen } = this.current;
    if (pending === undefined) return;
    await this.engine.publisher.catchUp();
    for (const { generation, id } of this.history.newestFirst()) {
      if (generation <= pending.generation) break;
      const { root } = this.history.record(id);
      const merged = mergeManifests(this.staging, this.staging, { base: seen, ours: pending.root, theirs: root }, () => 'ours');
      if (sameRoot(merged.root, root)) return this.hold(pending.root, { generation, snapshot: id, root }, true);
    }
    const { pending: _given, ...rest } = this.current;
    this.save(rest);
  }

  /** Old files that were set aside come back when somebody edited them. Those of a swap that had ended are the traces of a power cut. */
  private async endSwap(): Promise<void> {
    const { seen, target } = this.current;
    const asides = new Asides(this.places, this.engine.disk, this.cache);
    if (!this.isAfterPowerCut) return asides.recover();
    if (target === undefined) return;
    const parts = { cache: this.cache, ...this.comparing };
    await asides.recoverTorn((path, aside) => isOwnAside(parts, path, aside, this.window.get(seen, path)));
  }

  /** Whether files were written in another boot than this one, and not read since. */
  private get isAfterPowerCut(): boolean {
    return this.current.bootId !== '' && this.current.bootId !== bootId();
  }

  /**
   * Reads every file again after a power cut, since what was written shortly before may be torn. What nobody edited since is taken
   * out of the folder, and of what it is known to hold, and comes back as a version that is brought in.
   */
  private async mend(work: Work): Promise<void> {
    if (!this.isAfterPowerCut) return;
    const { seen, base, target } = this.current;
    const torn = new Map<string, null>();
    for (const root of target === undefined ? [seen] : [seen, target.root]) {
      const parts = { places: this.places, cache: this.cache, ...this.comparing };
      for await (const path of tornFiles(parts, this.window.walk(root, ''), work)) torn.set(path, null);
    }
    if (torn.size === 0) return this.save({ ...this.current, bootId: '' });
    const rest = this.window.edit(seen, torn);
    await this.makeDurable(rest);
    this.save({ ...this.current, seen: rest, target: target ?? { ...base, root: seen } });
    const writeBits = this.writeBits();
    for (const path of torn.keys()) {
      this.cache.delete(path);
      writeBits.allow(dirname(this.places.local(path)));
      this.engine.disk.unlink(this.places.local(path));
    }
    writeBits.restore();
  }

  /** The folder's own changes are committed: it holds the same as before, and nothing of others that went into the head. */
  private hold(root: ManifestRoot, head: Point, changed: boolean): void {
    const { pending: _done, ...rest } = this.current;
    const { generation, snapshot } = head;
    this.save(
      sameRoot(head.root, root)
        ? { ...rest, seen: root, base: { generation, snapshot }, ownCommits: 0 }
        : { ...rest, seen: root, ownCommits: rest.ownCommits + (changed ? 1 : 0) },
    );
  }

  private report(committed: TreeCommitted, { logical, ...counts }: ReturnType<typeof countChanges>): CommitResult {
    const snapshot = this.info(committed.head);
    if (snapshot === null) throw new Error('a commit left no snapshot');
    const bytes = { logical, ...committed.bytes };
    if (committed.changed) this.engine.diagnostics.committed({ volume: snapshot.volume, snapshot: snapshot.id, bytes });
    const overwritten = committed.overwritten.map((path) => this.window.inner(path));
    return { snapshot, changed: committed.changed, ...counts, overwritten, bytes };
  }

  /** Publishes the nodes of a tree, and its staged chunks: the state may name only what survives. */
  private async makeDurable(root: ManifestRoot, tally = new IngestTally()): Promise<void> {
    const objects = [...stagedBelow(this.staging, root)];
    if (objects.length === 0) return;
    tally.newBytes += chunkBytesOf(objects);
    tally.storedBytes += (await this.engine.publisher.writeObjects(objects)).storedBytes;
    this.engine.index.refresh();
  }

  private learn(stamps: Iterable<readonly [string, Stamp | undefined]>): void {
    for (const [path, stamp] of stamps) {
      if (stamp === undefined) this.cache.delete(path);
      else this.cache.set(path, stamp);
    }
  }

  private save(state: MountState): void {
    const changes = sameRoot(state.seen, this.current.seen) ? [] : [...this.window.diff(this.current.seen, state.seen)];
    replaceFile(this.engine.disk, this.own.state, encodeState(state, this.engine.hasher));
    this.cache.follow(changes);
    this.current = state;
  }

  private async stampIfSame({ path, stamp, before }: Candidate): Promise<Stamp | undefined> {
    if (before?.type !== 'file' || before.content.length !== stamp.size) return undefined;
    try {
      if ((((lstat(path)?.mode ?? 0n) & OWNER_EXECUTES) !== 0n) !== before.executable) return undefined;
      return await stampIfSame(this.comparing, path, before.content);
    } catch {
      return undefined;
    }
  }
}

const OWNER_EXECUTES = 0o100n;

function isPlain({ message, metadata }: CommitOptions): boolean {
  return (message ?? '') === '' && Object.keys(metadata ?? {}).length === 0;
}

/** Which changed files a background round leaves to the next one. */
function unsettled(dir: string, settleMs: number): (stamp: Stamp) => boolean {
  let written: Set<bigint> | undefined;
  const limitNs = BigInt(Date.now() - settleMs) * 1_000_000n;
  return (stamp) => stamp.mtimeNs > limitNs || (written ??= openForWriting(dir)).has(stamp.inode);
}

/** Paths that cannot be swapped now: open for writing by somebody, or hidden by what cannot be stored. */
function* unavailable(places: FolderPlaces, changes: readonly FolderChange[], skipped: readonly string[]): Generator<string> {
  const written = changes.some(({ before }) => before?.type === 'file') ? openForWriting(places.dir) : new Set<bigint>();
  for (const { path, before } of changes) {
    const stat = before?.type === 'file' && written.size > 0 ? lstat(places.local(path)) : undefined;
    const isHidden = skipped.some((other) => path === other || path.startsWith(`${other}/`));
    if (isHidden || (stat !== undefined && written.has(stat.ino))) yield path;
  }
}
