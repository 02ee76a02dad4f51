import fs from 'node:fs';
import { SourceChangedError, isCairnError, serializeError } from '../errors.js';
import { digestsEqual } from '../hash/digest.js';
import { chunkDigest, chunkLength } from '../workers/chunk-rows.js';
import type { WorkerEnvironment } from '../workers/environment.js';
import { FileBytes } from './byte-source.js';
import { Cutter } from './cutting.js';
import {
  BORROWED_FIELDS,
  type FileOutcome,
  type StoreBorrowedTask,
  type StoreFilesResult,
  type StoreFilesTask,
  type StoreSpansTask,
  type UnitResult,
} from './messages.js';
import { isSourceFault, isUnchanged, openSource, READ_ATTEMPTS, settledStat, sourceStat, statOf } from './source.js';
import { UnitWriter } from './unit-writer.js';

/** From this size on a file is worth a fresh look at whether its chunks compress. */
const FRESH_RUN_BYTES = 1 << 20;

/** Stores many files in one pack. A file that cannot be read is reported and does not spoil the others. */
export async function storeFiles(environment: WorkerEnvironment, task: StoreFilesTask): Promise<StoreFilesResult> {
  const files: FileOutcome[] = [];
  const unit = await inUnit(environment, await UnitWriter.begin(environment, task, 'borrow'), async (writer) => {
    for (const [number, path] of task.paths.entries()) {
      writer.source = number;
      const start = writer.mark();
      try {
        files.push(await storeFile(environment, writer, path));
      } catch (error) {
        if (!isSourceFault(path, error)) throw error;
        writer.goBack(start);
        files.push({ error: serializeError(error) });
      }
    }
  });
  return { ...unit, files };
}

/** Stores a run of a large file. The caller sees to it that the file did not change. */
export async function storeSpans(environment: WorkerEnvironment, task: StoreSpansTask): Promise<UnitResult> {
  return inUnit(environment, await UnitWriter.begin(environment, task, 'borrow'), async (writer) => {
    environment.encoder.startRun();
    const cutter = new Cutter(environment, writer, new FileBytes(task.path, task.fd));
    for (const span of task.spans) await cutter.span(span);
  });
}

/**
 * Stores chunks that this operation had left to a unit which then failed, from its own sources.
 * @throws SourceChangedError when a source no longer has them.
 */
export async function storeBorrowed(environment: WorkerEnvironment, task: StoreBorrowedTask): Promise<UnitResult> {
  return inUnit(environment, await UnitWriter.begin(environment, task, 'store'), async (writer) => {
    for (let at = 0; at < task.borrowed.length; at += BORROWED_FIELDS) {
      const [, number, offset, row] = task.borrowed.subarray(at, at + BORROWED_FIELDS) as unknown as [number, number, number, number];
      const { path, fd } = task.sources[number]!;
      const opened = fd ?? openSource(path);
      try {
        await writer.pull(new FileBytes(path, opened), offset, chunkLength(task.rows, row), 'data');
        if (!digestsEqual(writer.lastDigest, chunkDigest(task.rows, row))) throw new SourceChangedError(path);
      } finally {
        if (fd === undefined) fs.closeSync(opened);
      }
    }
  });
}

async function storeFile(environment: WorkerEnvironment, writer: UnitWriter, path: string): Promise<FileOutcome> {
  const fd = openSource(path);
  const start = writer.mark();
  try {
    for (let attempt = 1; ; attempt++) {
      const before = await settledStat(path, fd);
      if (before.size >= FRESH_RUN_BYTES) environment.encoder.startRun();
      try {
        await new Cutter(environment, writer, new FileBytes(path, fd)).file(Number(before.size));
        if (isUnchanged(before, statOf(path, fd))) return { chunks: writer.chunksSince(start), stat: sourceStat(before) };
      } catch (error) {
        if (!isCairnError(error, 'CAIRN_SOURCE_CHANGED')) throw error;
      }
      writer.goBack(start);
      if (attempt === READ_ATTEMPTS) throw new SourceChangedError(path);
    }
  } finally {
    fs.closeSync(fd);
  }
}

/** Runs the body of a unit and seals its pack, or removes what it wrote. */
export async function inUnit(
  environment: WorkerEnvironment,
  writer: UnitWriter,
  body: (writer: UnitWriter) => Promise<void>,
): Promise<UnitResult> {
  try {
    await body(writer);
    return await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  } finally {
    environment.rest();
  }
}
