import { constants, promises as fs } from 'node:fs';
import type { ContentRef } from '../content/content.js';
import { isCairnError } from '../errors.js';
import { isSourceFault, type SourceStat } from '../ingest/source.js';
import type { IngestTally } from '../ingest/ingest.js';
import { Lanes } from '../workers/lanes.js';
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
  await syncAll(files, work.signal);
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

/** Best effort: who may not open a file hears of it when it is read. */
async function syncAll(files: readonly Candidate[], signal: AbortSignal | undefined): Promise<void> {
  const lanes = new Lanes(SYNCS_AT_ONCE);
  const underWay = new Set<Promise<void>>();
  for (const { path } of files) {
    signal?.throwIfAborted();
    await lanes.acquire();
    const sync = syncFile(path).finally(() => {
      lanes.release();
      underWay.delete(sync);
    });
    underWay.add(sync);
  }
  await Promise.all(underWay);
}

async function syncFile(path: string): Promise<void> {
  try {
    // A pipe that has taken the file's place would else wait for its writer.
    const file = await fs.open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      await file.datasync();
    } finally {
      await file.close();
    }
  } catch {
    // told by whoever reads it
  }
}
