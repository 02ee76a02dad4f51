import { chunkEntry, TreeBuilder } from '../content/build.js';
import { EMPTY_CONTENT, type ContentRef } from '../content/content.js';
import { deserializeError, isCairnError, type CairnError } from '../errors.js';
import { copyDigest } from '../hash/digest.js';
import type { NodeSink } from '../objects/node-store.js';
import type { Work } from '../types.js';
import { CHUNK_ROW_BYTES, chunkLength, chunkRows } from '../workers/chunk-rows.js';
import { Handoff } from '../workers/handoff.js';
import { Lanes } from '../workers/lanes.js';
import type { TaskRunner } from '../workers/pool.js';
import { untilFailed } from '../workers/until-failed.js';
import { Batcher, type Batch } from './batcher.js';
import type { ClaimTable } from './claims.js';
import { storeLargeFile } from './large-file.js';
import type { StoreFilesResult } from './messages.js';
import { isSourceFault, READ_ATTEMPTS, type LocalSource, type SourceStat } from './source.js';
import { storeStream } from './stream.js';
import type { IngestTally } from './tally.js';
import { type IngestOperation, type PackPublisher, UnitRunner } from './unit-runner.js';

export type { LocalSource, SourceStat } from './source.js';
export { IngestTally } from './tally.js';

export interface IngestOptions extends Work {
  /** Takes the nodes of the content trees. Chunks go into packs. */
  sink: NodeSink;
  /** Counts up; several calls may share one. */
  tally?: IngestTally | undefined;
}

export interface StoredSource<S extends LocalSource> {
  source: S;
  content: ContentRef;
  /** The file as it was read: unchanged from before the first byte until after the last. */
  stat: SourceStat;
}

/** A source that could not be read: missing, no regular file, not permitted, or changing again and again. */
export interface FailedSource<S extends LocalSource> {
  source: S;
  error: CairnError;
}

export type Sources<S extends LocalSource> = Iterable<S> | AsyncIterable<readonly S[]>;

/** Large files that are stored at the same time: while the last parts of one finish, the next begins. */
const LARGE_AT_ONCE = 2;
/** Units that are ready beyond those that run, so that no worker waits for the main thread. */
const UNITS_AHEAD = 2;

/** Stores files and streams with the worker threads. One per engine; calls may run side by side and share chunks. */
export class Ingest {
  private readonly runner: UnitRunner;

  constructor(parts: { workers: TaskRunner; publisher: PackPublisher; claims: ClaimTable }) {
    this.runner = new UnitRunner(parts.workers, parts.publisher, parts.claims);
  }

  /**
   * Stores files, and yields them with their contents once all of their chunks are durable and in the index: as many at a time as
   * were stored together, in no particular order. Sources are taken as they are needed, so there may be millions; those that come
   * asynchronously come in runs. Leaving the loop early calls the rest off.
   *
   * With `faults: 'yield'` a source that cannot be read is yielded with its error and the others go on; otherwise it fails the call.
   *
   * @throws FileNotFoundError, PathError, SourceChangedError with the local path; CairnError for what the system refuses.
   */
  files<S extends LocalSource>(
    sources: Sources<S>,
    options: IngestOptions & { faults: 'yield' },
  ): AsyncGenerator<(StoredSource<S> | FailedSource<S>)[]>;
  files<S extends LocalSource>(sources: Sources<S>, options: IngestOptions): AsyncGenerator<StoredSource<S>[]>;
  async *files<S extends LocalSource>(
    sources: Sources<S>,
    options: IngestOptions & { faults?: 'yield' },
  ): AsyncGenerator<(StoredSource<S> | FailedSource<S>)[]> {
    const operation = this.runner.begin(options);
    const run = new FilesRun<S>(this.runner, operation, options.sink, options.faults === 'yield');
    const done = run.all(sources);
    operation.onFail(() => run.results.close(true));
    try {
      yield* run.results;
      operation.check();
    } finally {
      operation.fail(new Error('left early'));
      await done;
      operation[Symbol.dispose]();
    }
  }

  /**
   * Stores a stream of unknown length and returns its content: the same that a file of these bytes has. Takes 8 MiB of
   * memory, and a worker while data comes.
   *
   * @throws what `chunks` throws.
   */
  async stream(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, options: IngestOptions): Promise<ContentRef> {
    using operation = this.runner.begin(options);
    return await operation.part(() => storeStream(operation, this.runner, chunks, options.sink));
  }
}

/** One call of `Ingest.files`. */
class FilesRun<S extends LocalSource> {
  readonly results = new Handoff<(StoredSource<S> | FailedSource<S>)[]>();
  private readonly runner: UnitRunner;
  private readonly operation: IngestOperation;
  private readonly sink: NodeSink;
  private readonly yieldFaults: boolean;
  private readonly lanes: Lanes;
  private readonly largeLanes = new Lanes(LARGE_AT_ONCE);
  private readonly underWay = new Set<Promise<void>>();

  constructor(runner: UnitRunner, operation: IngestOperation, sink: NodeSink, yieldFaults: boolean) {
    this.runner = runner;
    this.operation = operation;
    this.sink = sink;
    this.yieldFaults = yieldFaults;
    this.lanes = new Lanes(runner.workers.workers + UNITS_AHEAD);
  }

  /** Never rejects: errors end up in the operation. */
  async all(sources: Sources<S>): Promise<void> {
    const batcher = new Batcher<S>(this.runner.workers.workers);
    try {
      for await (const run of untilFailed(this.operation, Symbol.asyncIterator in sources ? sources : [sources])) {
        for (const source of run) {
          this.operation.check();
          batcher.add(source);
          for (let batch; (batch = batcher.next(this.lanes.busy < this.runner.workers.workers)) !== undefined;) await this.begin(batch);
        }
      }
      for (const batch of batcher.rest()) await this.begin(batch);
    } catch (error) {
      this.operation.fail(error);
    }
    while (this.underWay.size > 0) await Promise.all(this.underWay);
    this.results.close();
  }

  /** Starts a batch when there is room for it. */
  private async begin(batch: Batch<S>): Promise<void> {
    const lanes = 'large' in batch ? this.largeLanes : this.lanes;
    await lanes.acquire();
    this.operation.check();
    const work = ('large' in batch ? this.large(batch.large, batch.segmentBytes) : this.small(batch.files))
      .catch((error: unknown) => this.operation.fail(error))
      .finally(() => {
        lanes.release();
        this.underWay.delete(work);
      });
    this.underWay.add(work);
  }

  private async small(sources: S[]): Promise<void> {
    const paths = sources.map((source) => source.path);
    const result = await this.storeUnit(paths);
    const batch: (StoredSource<S> | FailedSource<S>)[] = [];
    let row = 0;
    for (const [i, file] of result.files.entries()) {
      const source = sources[i]!;
      if ('error' in file) batch.push(this.fault(source, deserializeError(file.error)));
      else {
        const rows = result.rows.subarray(row * CHUNK_ROW_BYTES, (row + file.chunks) * CHUNK_ROW_BYTES);
        batch.push(this.stored(source, contentOf(rows, this.sink), file.stat));
        row += file.chunks;
      }
    }
    await this.deliver(batch);
  }

  private async storeUnit(paths: string[]): Promise<StoreFilesResult> {
    const sources = paths.map((path) => ({ path }));
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.runner.run<StoreFilesResult>(this.operation, { type: 'store-files', paths }, sources);
      } catch (error) {
        // A chunk was left to a unit that failed, and by then the source was another: all is read again.
        if (attempt === READ_ATTEMPTS || !isCairnError(error, 'CAIRN_SOURCE_CHANGED')) throw error;
      }
    }
  }

  private async large(source: S, segmentBytes: number): Promise<void> {
    let outcome: StoredSource<S> | FailedSource<S>;
    try {
      const { content, stat } = await storeLargeFile(this.operation, this.runner, this.lanes, source.path, segmentBytes, this.sink);
      outcome = this.stored(source, content, stat);
    } catch (error) {
      if (!isSourceFault(source.path, error)) throw error;
      outcome = this.fault(source, error);
    }
    await this.deliver([outcome]);
  }

  private stored(source: S, content: ContentRef, stat: SourceStat): StoredSource<S> {
    this.operation.tally.files++;
    this.operation.tally.logicalBytes += content.length;
    return { source, content, stat };
  }

  private fault(source: S, error: unknown): FailedSource<S> {
    if (!this.yieldFaults || !isCairnError(error)) throw error;
    return { source, error };
  }

  private async deliver(batch: (StoredSource<S> | FailedSource<S>)[]): Promise<void> {
    this.operation.report();
    await this.results.push(batch);
  }
}

/** The content that consists of these chunks. */
function contentOf(rows: Uint8Array, sink: NodeSink): ContentRef {
  // Most files are one chunk, which needs no tree.
  if (rows.byteLength === 0) return EMPTY_CONTENT;
  if (rows.byteLength === CHUNK_ROW_BYTES) return { height: 0, root: copyDigest(rows), length: chunkLength(rows, 0) };
  const tree = new TreeBuilder(sink);
  for (const { digest, length } of chunkRows(rows)) tree.push(chunkEntry(digest, length));
  return tree.finish();
}
