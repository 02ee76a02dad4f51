import type { ContentRef } from '../content/content.js';
import { chunksOf } from '../content/content.js';
import { digestKey } from '../hash/digest.js';
import { diffManifests, type ManifestChange } from '../manifest/diff.js';
import type { Entry, ManifestRoot } from '../manifest/entry.js';
import type { NodeSource } from '../objects/node-store.js';
import type { Change } from '../types.js';
import { toFileEntry } from './read-view.js';

/** What differs between two trees, path by path. Equal subtrees cost nothing. */
export function* changesBetween(nodes: NodeSource, from: ManifestRoot, to: ManifestRoot): Generator<Change> {
  for (const change of diffManifests(nodes, from, to)) yield toChange(nodes, change);
}

export function toChange(nodes: NodeSource, { path, before, after }: ManifestChange): Change {
  return {
    type: before === undefined ? 'added' : after === undefined ? 'removed' : 'modified',
    path,
    ...(before === undefined ? {} : { before: toFileEntry(path, before) }),
    ...(after === undefined ? {} : { after: toFileEntry(path, after) }),
    changedBytes: changedBytes(nodes, before, after),
  };
}

function changedBytes(nodes: NodeSource, before: Entry | undefined, after: Entry | undefined): number {
  const [old, now] = [contentOf(before), contentOf(after)];
  if (now === undefined) return old?.length ?? 0;
  if (old === undefined) return now.length;
  const known = new Set<string>();
  for (const { digest } of chunksOf(nodes, old)) known.add(digestKey(digest));
  let changed = 0;
  for (const { digest, length } of chunksOf(nodes, now)) if (!known.has(digestKey(digest))) changed += length;
  return changed;
}

export function contentOf(entry: Entry | undefined): ContentRef | undefined {
  return entry?.type === 'file' ? entry.content : undefined;
}

/** Of a commit: files and symlinks, and the bytes of those that came or changed. */
export interface ChangeCounts {
  added: number;
  modified: number;
  removed: number;
  logical: number;
}

export function countChanges(nodes: NodeSource, from: ManifestRoot, to: ManifestRoot): ChangeCounts {
  const counts: ChangeCounts = { added: 0, modified: 0, removed: 0, logical: 0 };
  const isLeaf = (entry: Entry | undefined): boolean => entry !== undefined && entry.type !== 'directory';
  for (const { before, after } of diffManifests(nodes, from, to)) {
    if (isLeaf(before) && isLeaf(after)) counts.modified++;
    else if (isLeaf(after)) counts.added++;
    else if (isLeaf(before)) counts.removed++;
    counts.logical += contentOf(after)?.length ?? 0;
  }
  return counts;
}
