import type { ContentRef } from '../content/content.js';
import { ConflictError, FileExistsError, InvalidArgumentError, PathError } from '../errors.js';
import { sameEntry } from '../manifest/entry.js';
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
import { SMALL_BYTES, storeBytes, storeSmall } from './store-bytes.js';
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

/** Files read on this thread, when there are no more than this and they are small: the workers need not be woken. */
const MAX_SMALL_FILES = 64;

/**
 * Runs `edit`, stores what it named and commits it. Local files are read when `edit` is done, all together, so that the
 * workers have them all to share.
 * @throws FileExistsError without `force`, when a path holds something else at the head by the time of the commit
 */
export async function uploadBatch({ engine, target, edit, options }: Upload): Promise<CommitResult> {
  const upload = new BatchUpload(engine, target, options);
  try {
    await orAborted(edit(upload), options.signal);
  } finally {
    upload.end();
  }
  await upload.storeLocalFiles();
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
  private readonly files: LocalFile[] = [];
  private readonly others: LocalEntry[] = [];
  private ended = false;

  constructor(engine: Engine, target: BatchTarget, options: Upload['options']) {
    this.engine = engine;
    this.target = target;
    this.options = options;
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
    const { signal, onProgress } = this.options;
    const content = await storeBytes(this.engine, local.data, { signal, onProgress, sink: aside, tally: this.target.tally });
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

  /** No more puts: those of a callback that goes on would be in no commit. */
  end(): void {
    this.ended = true;
  }

  async storeLocalFiles(): Promise<void> {
    const { target, files } = this;
    await target.edit(() => {
      for (const entry of this.others) {
        if (entry.type === 'directory') this.makeFolder(entry.remotePath);
        else this.put(entry.remotePath, { type: 'symlink', target: entry.target ?? '', mtimeNs: entry.mtimeNs });
      }
    });
    const totalBytes = files.reduce((sum, file) => sum + file.stat.size, 0);
    if (files.length === 0) return;
    if (files.length <= MAX_SMALL_FILES && totalBytes < SMALL_BYTES) await this.storeHere(files);
    else await this.storeByWorkers(files, totalBytes);
  }

  private async storeHere(files: LocalFile[]): Promise<void> {
    for (const file of files) {
      this.options.signal?.throwIfAborted();
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

  private async storeByWorkers(files: LocalFile[], totalBytes: number): Promise<void> {
    const { target, options } = this;
    const report = options.onProgress;
    const aside = target.staging.aside();
    const storing = {
      signal: options.signal,
      onProgress: report && ((progress: Progress) => report({ ...progress, totalBytes })),
      sink: aside,
      tally: target.tally,
    };
    for await (const { source, content, stat } of this.engine.ingest.files(files, storing)) {
      await target.edit(() => {
        target.staging.adopt(aside);
        aside.replaceWith([]);
        this.put(source.remotePath, fileEntry(source, content, stat));
      });
    }
  }

  /** @throws FileExistsError where the head has something else and `force` is not given */
  private put(path: string, entry: Entry): void {
    const existing = this.target.tree.get(path);
    if (existing !== undefined && this.options.force !== true && !sameEntry(existing, entry)) throw new FileExistsError(path);
    this.target.tree.put(path, entry);
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
    if (entry.type === 'file') this.files.push({ path, remotePath, stat, executable });
    else this.others.push(entry);
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
