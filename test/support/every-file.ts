import type { FileEntry, Snapshot, SnapshotId, Store } from '@cairn/core';

/** A file of one version of a volume. */
export interface FileVersion {
  volume: string;
  id: SnapshotId;
  snapshot: Snapshot;
  entry: FileEntry;
}

/** Every file of every version of every named volume. */
export async function* everyFile(store: Store): AsyncGenerator<FileVersion> {
  for (const { name } of await store.volumes.list()) {
    const volume = await store.volumes.fromName(name);
    for await (const { id } of volume.history()) {
      const snapshot = await volume.snapshot(id);
      for (const entry of await snapshot.listdir('', { recursive: true })) {
        if (entry.type === 'file') yield { volume: name, id, snapshot, entry };
      }
    }
  }
}
