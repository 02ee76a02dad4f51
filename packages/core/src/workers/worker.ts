import { workerData } from 'node:worker_threads';
import { serializeError } from '../errors.js';
import type { IngestTask } from '../ingest/messages.js';
import { scanSegment } from '../ingest/scan-task.js';
import { storeBorrowed, storeFiles, storeSpans } from '../ingest/store-task.js';
import { storeStream } from '../ingest/stream-task.js';
import { copyObjects } from '../reading/copy-task.js';
import type { ReadingTask } from '../reading/messages.js';
import { readChunks } from '../reading/read-task.js';
import { restoreFiles, restorePart } from '../reading/restore-task.js';
import { verifyPack } from '../reading/verify-task.js';
import { compareFolders, type ComparisonTask } from '../stamps/comparison.js';
import type { WorkerConfig } from './config.js';
import { WorkerEnvironment } from './environment.js';
import { AbortedError } from './operation-control.js';
import type { WarmUpTask, WorkerReply, WorkerRequest } from './pool.js';

type Task = IngestTask | ReadingTask | ComparisonTask | WarmUpTask;

let environment: WorkerEnvironment | undefined;

/** Entry of the worker threads: runs one task at a time. */
export default async function work({ task, begun }: WorkerRequest): Promise<WorkerReply> {
  Atomics.store(new Int32Array(begun), 0, 1);
  environment ??= new WorkerEnvironment(workerData as WorkerConfig);
  try {
    if (environment.config.disk.module !== undefined) await environment.disk();
    return { value: await perform(environment, task as Task) };
  } catch (error) {
    return error instanceof AbortedError ? { aborted: true } : { error: serializeError(error) };
  } finally {
    environment.rest();
  }
}

function perform(environment: WorkerEnvironment, task: Task): Promise<unknown> {
  switch (task.type) {
    case 'warm-up':
      return Promise.resolve(environment.prepareToStore());
    case 'store-files':
      return storeFiles(environment, task);
    case 'store-spans':
      return storeSpans(environment, task);
    case 'store-borrowed':
      return storeBorrowed(environment, task);
    case 'store-stream':
      return storeStream(environment, task);
    case 'scan':
      return scanSegment(environment, task);
    case 'read':
      return readChunks(environment, task);
    case 'restore-files':
      return restoreFiles(environment, task);
    case 'restore-part':
      return restorePart(environment, task);
    case 'copy-objects':
      return copyObjects(environment, task);
    case 'verify-pack':
      return verifyPack(environment, task);
    case 'compare-folders':
      return Promise.resolve(compareFolders(task));
  }
}
