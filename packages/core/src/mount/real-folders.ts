import { parentOf } from '../volume/paths.js';
import { lstat } from './lstat.js';
import type { FolderPlaces } from './places.js';

/**
 * Which folders of a mount are folders on the disk as well. What lies behind a symlink in the place of one is none of the mount's:
 * a version from a stranger may put one there, or another name that this file system takes for the same. Looked at once a folder.
 */
export class RealFolders {
  private readonly places: FolderPlaces;
  private readonly known = new Map<string, boolean>([['', true]]);

  constructor(places: FolderPlaces) {
    this.places = places;
  }

  /** Whether all folders above a path are real. */
  hold(path: string): boolean {
    return this.isReal(parentOf(path));
  }

  private isReal(folder: string): boolean {
    let real = this.known.get(folder);
    if (real === undefined) {
      real = this.hold(folder) && lstat(this.places.local(folder))?.isDirectory() === true;
      this.known.set(folder, real);
    }
    return real;
  }
}
