import type { ManifestRoot } from '../manifest/entry.js';
import { sameEntry, type Entry } from '../manifest/entry.js';
import { IngestTally } from '../ingest/ingest.js';
import type { Staging } from '../objects/staging.js';
import type { Work } from '../types.js';
import type { Engine } from '../volume/engine.js';
import type { Candidate, Scan } from './scan.js';
import type { Window } from './seen-tree.js';
import type { Stamp } from '../stamps/stamp.js';
import type { StatCache } from './stat-cache.js';
import { storeFiles } from './store-files.js';

/** What a folder holds, as a tree. */
export interface FolderTree {
  root: ManifestRoot;
  tally: IngestTally;
  /** Files left out since they were changing, by path; the tree has what `seen` has there. */
  busy: string[];
  /** What cannot be stored. */
  skipped: string[];
  /** Stamps of files whose bytes are those of the tree, for when that becomes `seen`; undefined where there is no file any more. */
  stamps: Map<string, Stamp | undefined>;
}

/** Stores what a scan found changed. Files that turn out the same are noted in the cache. */
export async function storeChanges(
  parts: { engine: Engine; window: Window; staging: Staging; cache: StatCache },
  seen: ManifestRoot,
  scan: Scan,
  work: Work,
  leaveOut: (stamp: Stamp) => boolean = () => false,
): Promise<FolderTree> {
  const { engine, window, staging, cache } = parts;
  const tally = new IngestTally();
  const waiting: Candidate[] = [];
  const ready: Candidate[] = [];
  for (const file of scan.candidates) (leaveOut(file.stamp) ? waiting : ready).push(file);
  const { stored, busy, unreadable } = await storeFiles(engine, staging, tally, ready, work);
  for (const file of [...waiting, ...busy, ...unreadable]) scan.leaveOut(file);

  const edits = new Map<string, Entry | null>(scan.edits);
  const stamps = new Map<string, Stamp | undefined>();
  for (const [path, entry] of edits) if (entry?.type !== 'file') stamps.set(path, undefined);
  for (const { file, content, stat } of stored) {
    const entry: Entry = { type: 'file', content, executable: stat.executable, mtimeNs: stat.mtimeNs };
    if (sameEntry(file.before, entry)) cache.set(file.name, stat);
    else {
      edits.set(file.name, entry);
      stamps.set(file.name, stat);
    }
  }
  return {
    root: window.edit(seen, edits),
    tally,
    busy: [...waiting, ...busy].map(({ name }) => name).sort(),
    skipped: [...scan.skipped, ...unreadable.map(({ name }) => name)].sort(),
    stamps,
  };
}
