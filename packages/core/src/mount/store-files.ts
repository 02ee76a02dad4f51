import fs from 'node:fs';
import type { ContentRef } from '../content/content.js';
import type { Disk } from '../disk/disk.js';
import { reads } from '../disk/reads.js';
import { isCairnError } from '../errors.js';
import { isSourceFault, type SourceStat } from '../ingest/source.js';
import type { IngestTally } from '../ingest/ingest.js';
import type { Staging } from '../objects/staging.js';
import type { Work } from '../types.js';
import type { Engine } from '../volume/engine.js';
import { readSmallFile } from '../volume/local-files.js';
import { areFewAndSmall, storeSmall } from '../volume/store-bytes.js';
import type { Candidate } from './scan.js';

/** A file as it was stored: unchanged while it was read. */
export interface StoredFile {
  file: Candidate;
  content: ContentRef;
  stat: SourceStat;
}

export interface StoredFiles {
  stored: StoredFile[];
  /** Files that kept changing, or vanished. */
  busy: Candidate[];
  /** Files that may not be read. */
  unreadable: Candidate[];
}

const SYNCS_AT_ONCE = 8;

/** Stores the files of a scan. Each is synced first: what is written through a memory map may else leave its time of change unmoved. */
export async function storeFiles(
  engine: Engine,
  staging: Staging,
  tally: IngestTally,
  files: readonly Candidate[],
  work: Work,
): Promise<StoredFiles> {
  const result: StoredFiles = { stored: [], busy: [], unreadable: [] };
  const fault = (file: Candidate, error: unknown): void =>
    void (isCairnError(error, 'EACCES') ? result.unreadable : result.busy).push(file);
  await syncAll(engine.disk, files, work.signal);
  const totalBytes = files.reduce((sum, { stat }) => sum + stat.size, 0);
  if (areFewAndSmall(files.length, totalBytes)) {
    for (const file of files) {
      work.signal?.throwIfAborted();
      try {
        const { bytes: read, stat } = await readSmallFile(file.path);
        result.stored.push({ file, content: storeSmall(engine, staging, read), stat });
        tally.logicalBytes += read.byteLength;
        tally.files++;
      } catch (error) {
        if (!isSourceFault(file.path, error)) throw error;
        fault(file, error);
      }
    }
    work.onProgress?.(tally.progress());
    return result;
  }
  for await (const batch of engine.ingest.files(files, { ...work, sink: staging, tally, faults: 'yield' })) {
    for (const outcome of batch) {
      if ('error' in outcome) fault(outcome.source, outcome.error);
      else result.stored.push({ file: outcome.source, content: outcome.content, stat: outcome.stat });
    }
  }
  return result;
}

async function syncAll(disk: Disk, files: readonly Candidate[], signal: AbortSignal | undefined): Promise<void> {
  const waiting = files.values();
  const lane = async (): Promise<void> => {
    for (const { path } of waiting) {
      signal?.throwIfAborted();
      await syncFile(disk, path);
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: SYNCS_AT_ONCE }, lane));
  for (const end of lanes) if (end.status === 'rejected') throw end.reason;
}

/** @throws CairnError of the disk. Whoever may not open a file hears of it when it is read. */
async function syncFile(disk: Disk, path: string): Promise<void> {
  let fd: number;
  try {
    fd = await reads.open(path);
  } catch {
    return;
  }
  try {
    await disk.syncSource(path, fd);
  } finally {
    fs.closeSync(fd);
  }
}
