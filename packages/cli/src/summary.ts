import type { FileEntry, SnapshotInfo, Volume } from '@cairn/core';

/** What one version changed: files and links by kind, and the bytes that the version before it did not have. */
export interface Summary {
  added: number;
  modified: number;
  removed: number;
  newBytes: number;
}

/** Compares a snapshot with its parent; the first of a volume, with nothing. */
export async function summarise(volume: Volume, info: SnapshotInfo): Promise<Summary> {
  const summary: Summary = { added: 0, modified: 0, removed: 0, newBytes: 0 };
  const isFile = (entry: FileEntry | undefined): boolean => entry !== undefined && entry.type !== 'directory';
  if (info.parent === null) {
    const snapshot = await volume.snapshot(info.id);
    for await (const entry of snapshot.iterdir('/', { recursive: true })) {
      if (!isFile(entry)) continue;
      summary.added++;
      summary.newBytes += entry.size;
    }
    return summary;
  }
  for await (const change of volume.diff(info.parent, info.id)) {
    if (!isFile(change.before) && !isFile(change.after)) continue;
    summary[change.type]++;
    if (change.type !== 'removed') summary.newBytes += change.changedBytes;
  }
  return summary;
}
