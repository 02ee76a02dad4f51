import type { Disk } from '../disk/disk.js';
import type { Entry } from '../manifest/entry.js';
import { lstat } from './lstat.js';
import type { FolderPlaces } from './places.js';
import { RealFolders } from './real-folders.js';
import { setWritable } from './write-bits.js';

/** Gives, or takes away, the write bits of all that a folder shows. */
export function setWriteBits(disk: Disk, places: FolderPlaces, shown: Iterable<[string, Entry]>, writable: boolean): void {
  const real = new RealFolders(places);
  for (const [path, entry] of shown) if (entry.type !== 'symlink' && real.hold(path)) setWritable(disk, places.local(path), writable);
  setWritable(disk, places.dir, writable);
}

/** Removes the files that a folder shows, and the folders that are empty then; what is ignored, or was put there meanwhile, stays. */
export function removeShown(disk: Disk, places: FolderPlaces, shown: Iterable<[string, Entry]>): void {
  const real = new RealFolders(places);
  const folders: string[] = [];
  for (const [path, entry] of shown) {
    if (!real.hold(path)) continue;
    const stat = lstat(places.local(path));
    if (entry.type === 'directory') folders.push(path);
    else if (entry.type === 'symlink' ? stat?.isSymbolicLink() : stat?.isFile()) disk.unlink(places.local(path));
  }
  for (const folder of folders.reverse()) removeFolder(disk, places.local(folder));
}

function removeFolder(disk: Disk, path: string): void {
  try {
    disk.removeFolder(path);
  } catch (error) {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
  }
}
