import { dirname } from 'node:path';
import type { Disk } from '../disk/disk.js';
import type { FolderPlaces } from './places.js';
import type { FolderChange } from './seen-tree.js';

/**
 * Makes durable which names changed in the folder, before the state says that it holds them: after a power cut a name that was lost
 * would look deleted, and one that leads to the old file again edited. The folder may lie on another disk than the store, whose own
 * syncs are no help then.
 */
export function syncNames(disk: Disk, places: FolderPlaces, changes: Iterable<FolderChange>): void {
  const folders = new Set<string>();
  for (const { path } of changes) folders.add(dirname(places.local(path)));
  for (const folder of folders) {
    try {
      disk.syncDirectory(folder);
    } catch (error) {
      // Somebody removed it: the next scan will say so.
      if (!['ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    }
  }
}
