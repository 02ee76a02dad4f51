import type { ContentRef } from '../content/content.js';
import { ConflictError, FileExistsError, InvalidArgumentError, PathError } from '../errors.js';
import type { Entry } from '../manifest/entry.js';
import type { IngestTally, LocalSource } from '../ingest/ingest.js';
import type { SourceStat } from '../ingest/source.js';
import type { Batch, Bytes, CommitOptions, CommitResult, Progress } from '../types.js';
import { orAborted } from '../util/or-aborted.js';
import { toNanoseconds } from '../util/time.js';
import type { Engine } from './engine.js';
import type { LocalEntry } from './local-files.js';
import { localEntry, localTree, readSmallFile } from './local-files.js';
import { normalizePath } from './paths.js';
import type { Staging } from '../objects/staging.js';
import { areFewAndSmall, storeBytes, storeSmall } from './store-bytes.js';
import type { WorkingTree } from './working-tree.js';

/** A scratch handle on the head that a batch fills and commits. */
export interface BatchTarget {
  readonly staging: Staging;
  readonly tree: WorkingTree;
  /** Runs an edit of the tree; what is staged may go to a pack afterwards. */
  edit(work: () => void): Promise<void>;
  readonly tally: IngestTally;
  commit(options: CommitOptions & { refuseFileOverFolder: boolean }): Promise<CommitResult>;
}

interface Upload {
  engine: Engine;
  target: BatchTarget;
  edit: (batch: Batch) => Promise<void>;
  options: CommitOptions & { force?: boolean };
}

/** A local file on its way in; `executable` overrides what its mode says. */
interface LocalFile extends LocalSource {
  remotePath: string;
  executable: boolean | undefined;
}

/**
 * Runs `edit`, stores what it named and commits it. Local files are read from when there are enough of them for the workers,
 * while `edit` goes on to name more, or else when it is done.
 * @throws FileExistsError without `force`, when a path holds something else at the head by the time of the commit
 */
export async function uploadBatch({ engine, target, edit, options }: Upload): Promise<CommitResult> {
  const upload = new BatchUpload(engine, target, options);
  try {
    await orAborted(edit(upload), upload.signal);
    await upload.finish();
  } catch (error) {
    await upload.drop(error);
    throw error;
  }
  try {
    return await target.commit({
      ...options,
      refuseFileOverFolder: true,
      ...(options.force === true ? {} : { onConflict: 'fail' as const }),
    });
  } catch (error) {
    const asked = options.force === true && options.onConflict === 'fail';
    const path = error instanceof ConflictError && !asked ? error.paths[0] : undefined;
    throw path === undefined ? error : new FileExistsError(path);
  }
}

class BatchUpload implements Batch {
  private readonly engine: Engine;
  private readonly target: BatchTarget;
  private readonly options: Upload['options'];
  /** Aborted by the caller, or by what went wrong while `edit` is still busy. */
  readonly signal: AbortSignal;
  private readonly failing = new AbortController();
  /** Files that nobody has begun to store. */
  private files: LocalFile[] = [];
  private totalBytes = 0;
  /** What was named last for each path. Workers finish in any order. */
  private readonly latest = new Map<string, LocalFile>();
  private readonly others: LocalEntry[] = [];
  /** The workers' run, once there is enough for them. Never rejects: what goes wrong aborts `signal`. */
  private storing: Promise<void> | undefined;
  private wake: (() => void) | undefined;
  private ended = false;

  constructor(engine: Engine, target: BatchTarget, options: Upload['options']) {
    this.engine = engine;
    this.target = target;
    this.options = options;
    const { signal } = this.failing;
    this.signal = options.signal === undefined ? signal : AbortSignal.any([options.signal, signal]);
  }

  async putFile(local: string | URL | { data: Bytes }, remotePath: string, options: { executable?: boolean } = {}): Promise<void> {
    const path = this.checked(remotePath);
    if (typeof local === 'string' || local instanceof URL) {
      const entry = localEntry(local, path);
      if (entry.type === 'directory') throw new PathError('EISDIR', entry.localPath, 'a folder is no file', 'use putDirectory()');
      this.add(entry, options.executable);
      return;
    }
    const aside = this.target.staging.aside();
    const { onProgress } = this.options;
    const content = await storeBytes(this.engine, local.data, { signal: this.signal, onProgress, sink: aside, tally: this.target.tally });
    await this.target.edit(() => {
      this.assertRunning();
      this.target.staging.adopt(aside);
      this.put(path, { type: 'file', content, executable: options.executable ?? false, mtimeNs: toNanoseconds(this.engine.now()) });
    });
  }

  async putDirectory(localPath: string, remotePath: string, options: { ignore?: string[] } = {}): Promise<void> {
    const path = normalizePath(remotePath);
    const skipped = (skippedPath: string): void =>
      this.engine.diagnostics.log('warn', `skipped '${skippedPath}': sockets, pipes and devices are not stored`);
    for await (const entries of localTree(localPath, path, options.ignore ?? [], skipped))
      for (const entry of entries) this.add(entry, undefined);
  }

  /** Stores what is left. No more puts: those of a callback that goes on would be in no commit. */
  async finish(): Promise<void> {
    this.end();
    await this.target.edit(() => {
      for (const entry of this.others) {
        if (entry.type === 'directory') this.makeFolder(entry.remotePath);
        else this.put(entry.remotePath, { type: 'symlink', target: entry.target ?? '', mtimeNs: entry.mtimeNs });
      }
    });
    if (this.storing === undefined) await this.storeHere(this.files);
    await this.storing;
    this.signal.throwIfAborted();
  }

  /** Calls off what is under way, and waits for it. */
  async drop(cause: unknown): Promise<void> {
    this.failing.abort(cause);
    this.end();
    await this.storing;
  }

  private end(): void {
    this.ended = true;
    this.wake?.();
  }

  private async storeHere(files: LocalFile[]): Promise<void> {
    for (const file of files) {
      this.signal.throwIfAborted();
      const aside = this.target.staging.aside();
      const { bytes, stat } = await readSmallFile(file.path);
      const content = storeSmall(this.engine, aside, bytes);
      await this.target.edit(() => {
        this.target.staging.adopt(aside);
        this.put(file.remotePath, fileEntry(file, content, stat));
      });
      this.target.tally.files++;
      this.target.tally.logicalBytes += content.length;
      this.options.onProgress?.(this.target.tally.progress());
    }
  }

  private async storeByWorkers(): Promise<void> {
    const { target } = this;
    const report = this.options.onProgress;
    const aside = target.staging.aside();
    const storing = {
      signal: this.signal,
      // The total is known when all files are.
      onProgress: report && ((progress: Progress) => report(this.ended ? { ...progress, totalBytes: this.totalBytes } : progress)),
      sink: aside,
      tally: target.tally,
    };
    for await (const stored of this.engine.ingest.files(this.filesAsTheyCome(), storing)) {
      await target.edit(() => {
        target.staging.adopt(aside);
        aside.replaceWith([]);
        for (const { source, content, stat } of stored) {
          const superseded = this.options.force === true && this.latest.get(source.remotePath) !== source;
          if (!superseded) this.put(source.remotePath, fileEntry(source, content, stat));
        }
      });
    }
  }

  private async *filesAsTheyCome(): AsyncGenerator<LocalFile[]> {
    for (;;) {
      const files = this.files;
      this.files = [];
      yield files;
      if (this.files.length > 0) continue;
      if (this.ended) return;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  /** @throws FileExistsError where the head has something else and `force` is not given */
  private put(path: string, entry: Entry): void {
    this.target.tree.put(path, entry, { replace: this.options.force === true });
  }

  private makeFolder(path: string): void {
    const existing = this.target.tree.get(path);
    if (existing !== undefined && existing.type !== 'directory')
      throw new FileExistsError(path, 'a file has that name: remove it first, or choose another path');
    this.target.tree.makeFolders(path);
  }

  private add(entry: LocalEntry, executable: boolean | undefined): void {
    this.assertRunning();
    const { localPath: path, remotePath, stat } = entry;
    if (entry.type !== 'file') {
      this.others.push(entry);
      return;
    }
    const file: LocalFile = { path, remotePath, stat, executable };
    this.files.push(file);
    this.latest.set(remotePath, file);
    this.totalBytes += stat.size;
    if (!areFewAndSmall(this.files.length, this.totalBytes))
      this.storing ??= this.storeByWorkers().catch((error: unknown) => this.failing.abort(error));
    this.wake?.();
  }

  private checked(remotePath: string): string {
    this.assertRunning();
    const path = normalizePath(remotePath);
    if (path === '') throw new PathError('EISDIR', '/', 'the root is a folder', 'name a file in it');
    return path;
  }

  private assertRunning(): void {
    if (this.ended) throw new InvalidArgumentError('this batch is over', 'await every put inside the callback of batchUpload()');
  }
}

function fileEntry(file: LocalFile, content: ContentRef, stat: SourceStat): Entry {
  return { type: 'file', content, executable: file.executable ?? stat.executable, mtimeNs: stat.mtimeNs };
}
