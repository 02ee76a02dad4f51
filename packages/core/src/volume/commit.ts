import { ConflictError } from '../errors.js';
import type { Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { ManifestRoot, Entry } from '../manifest/entry.js';
import type { MergeResult } from '../manifest/merge.js';
import { isFileAgainstFolder, mergeManifests } from '../manifest/merge.js';
import type { IngestTally } from '../ingest/ingest.js';
import type { VolumeId } from '../index/records.js';
import type { StagedObject, Staging } from '../objects/staging.js';
import type { CommitRequest } from '../publish/messages.js';
import type { CommitOptions, Conflict } from '../types.js';
import type { Engine } from './engine.js';
import { toFileEntry } from './read-view.js';
import { encodeSnapshotRecord } from '../snapshot/record.js';
import { stagedBelow } from '../snapshot/staged-below.js';

/** A place in a volume's history; generation 0 without snapshot is the empty volume before its first commit. */
export interface Point {
  generation: number;
  snapshot: Digest | null;
  root: ManifestRoot;
}

export interface TreeCommit {
  engine: Engine;
  volumeId: VolumeId;
  volumeName: string | undefined;
  staging: Staging;
  /** What was stored ahead of the commit. */
  tally: IngestTally;
  base: Point;
  ours: ManifestRoot;
  options: CommitOptions & { refuseFileOverFolder: boolean };
}

export interface TreeCommitted {
  head: Point;
  changed: boolean;
  overwritten: string[];
  bytes: { new: number; stored: number };
}

/**
 * Publishes a tree as the next snapshot of its volume, merged onto the head when that has moved. The merge happens
 * under the store's lock, in the publishing thread; only a callback of the user is asked here, outside of it, and the
 * result offered again on top of the head that it was shown.
 * @throws ConflictError
 */
export async function commitTree({
  engine,
  volumeId,
  volumeName,
  staging,
  tally,
  base,
  ours,
  options,
}: TreeCommit): Promise<TreeCommitted> {
  const { message = '', metadata = {}, onConflict = 'last-write-wins' } = options;
  const overwritten = new Set<string>();
  for (;;) {
    options.signal?.throwIfAborted();
    const objects = [...stagedBelow(staging, ours)];
    const newBytes = chunkBytesOf(objects);
    const request: CommitRequest = {
      volumeId,
      volumeName,
      base: { generation: base.generation, root: base.root },
      ours,
      objects,
      message,
      metadata,
      createdAtMs: engine.now().getTime(),
      newBytes: tally.newBytes + newBytes,
      keepUnchanged: message !== '' || Object.keys(metadata).length > 0,
      policy: typeof onConflict === 'function' ? 'report' : onConflict,
      refuseFileOverFolder: options.refuseFileOverFolder,
    };
    const outcome = await engine.publisher.commit(request);
    engine.index.refresh();
    if (outcome.status === 'committed') {
      for (const path of outcome.overwritten) overwritten.add(path);
      // What is published must not be called a failure because the disk then fails to give it back.
      engine.nodes.keep(ObjectKind.snapshot, outcome.snapshot, encodeSnapshotRecord(outcome.record));
      for (const { kind, digest, bytes } of objects) if (kind !== ObjectKind.chunk) engine.nodes.keep(kind, digest, bytes);
      for (const bytes of outcome.mergedNodes) engine.nodes.keep(ObjectKind.manifestNode, engine.hasher.digest(bytes), bytes);
      const { generation, root } = outcome.record;
      engine.committed();
      return {
        head: { generation, snapshot: outcome.snapshot, root },
        changed: true,
        overwritten: [...overwritten].sort(),
        bytes: { new: tally.newBytes + newBytes, stored: tally.storedBytes + outcome.storedBytes },
      };
    }
    if (outcome.status === 'unchanged')
      return {
        head: outcome.head,
        changed: false,
        overwritten: [...overwritten, ...outcome.overwritten].sort(),
        bytes: { new: tally.newBytes, stored: tally.storedBytes },
      };
    if (typeof onConflict !== 'function') throw new ConflictError(outcome.paths);
    const merged = askAndMerge(staging, { base: base.root, ours, theirs: outcome.head.root }, onConflict, options.refuseFileOverFolder);
    if (merged.conflicts.length > 0) throw new ConflictError(merged.conflicts);
    for (const path of merged.overwritten) overwritten.add(path);
    ours = merged.root;
    base = outcome.head;
  }
}

function askAndMerge(
  staging: Staging,
  roots: { base: ManifestRoot; ours: ManifestRoot; theirs: ManifestRoot },
  ask: (conflict: Conflict) => 'ours' | 'theirs',
  refuseFileOverFolder: boolean,
): MergeResult {
  return mergeManifests(staging, staging, roots, (conflict) => {
    if (refuseFileOverFolder && isFileAgainstFolder(conflict)) return 'conflict';
    const { path, base, ours, theirs } = conflict;
    const shown = (key: 'base' | 'ours' | 'theirs', entry: Entry | undefined): Partial<Conflict> =>
      entry === undefined ? {} : { [key]: toFileEntry(path, entry) };
    return ask({ path, ...shown('base', base), ...shown('ours', ours), ...shown('theirs', theirs) });
  });
}

/** Logical bytes of the chunks among some objects. */
export function chunkBytesOf(objects: StagedObject[]): number {
  return objects.reduce((sum, { kind, bytes }) => (kind === ObjectKind.chunk ? sum + bytes.byteLength : sum), 0);
}
