import fs from 'node:fs';
import { dirname } from 'node:path';
import type { Disk } from '../disk/disk.js';
import { makeFolders } from '../disk/trees.js';
import { openForWriting } from './open-files.js';
import type { FolderPlaces } from './places.js';
import { lstat } from './lstat.js';
import { sameData, type Stamp, stampOf } from '../stamps/stamp.js';
import type { StatCache } from './stat-cache.js';

/**
 * The old files of a swap, held under another name until it is certain that nobody wrote to them meanwhile. Who had one open for
 * writing before it was replaced can still write to it; whoever opens its name now gets the new one.
 */
export class Asides {
  private readonly places: FolderPlaces;
  private readonly disk: Disk;
  private readonly cache: StatCache;

  constructor(places: FolderPlaces, disk: Disk, cache: StatCache) {
    this.places = places;
    this.disk = disk;
    this.cache = cache;
  }

  /** Gives a file its second name; the first one is about to be replaced. */
  hold(path: string): void {
    this.disk.link(this.places.local(path), this.placeOf(path));
  }

  /** Takes a file away from its name. */
  take(path: string): void {
    this.disk.rename(this.places.local(path), this.placeOf(path));
  }

  /**
   * Lets go of the old files, and brings back those that were edited since they were last known, or still can be.
   * `made`: what the swap put in their places, so that it can be taken back. Returns the paths brought back.
   */
  release(paths: readonly string[], made: ReadonlyMap<string, Stamp>): string[] {
    if (paths.length === 0) return [];
    const written = openForWriting(this.places.dir);
    const back: string[] = [];
    for (const path of paths) {
      const aside = this.places.asideOf(path);
      const stat = fs.lstatSync(aside, { bigint: true });
      const known = this.cache.get(path);
      const untouched = !stat.isFile() || (known !== undefined && sameData(stampOf(stat), known) && !written.has(stat.ino));
      if (!untouched) {
        this.bringBack(path, stat, made.get(path));
        this.cache.delete(path);
        back.push(path);
      }
      this.disk.unlink(aside);
    }
    return back;
  }

  /** Ends a swap that was cut short. */
  recover(): void {
    this.release([...filesBelow(this.places.aside, '')], new Map());
  }

  /**
   * The same after a power cut, which may have torn the old files, and taken what was known of them: `isOwn` tells which ones are the
   * mount's own for all that, and nobody's edit.
   */
  async recoverTorn(isOwn: (path: string, aside: string) => Promise<boolean>): Promise<void> {
    for (const path of filesBelow(this.places.aside, '')) {
      if (!(await isOwn(path, this.places.asideOf(path)))) continue;
      this.disk.unlink(this.places.asideOf(path));
      // Where the new file did not come to its name that is the old one still, torn or not: it has to be read.
      this.cache.delete(path);
    }
    this.recover();
  }

  private bringBack(path: string, aside: fs.BigIntStats, made: Stamp | undefined): void {
    const local = this.places.local(path);
    const now = lstat(local);
    if (now?.ino === aside.ino) return;
    if (now !== undefined && made !== undefined && sameData(stampOf(now), made)) this.disk.unlink(local);
    makeFolders(this.disk, dirname(local));
    // Somebody may have put another file there already: both are kept.
    this.disk.link(this.places.asideOf(path), lstat(local) === undefined ? local : freeName(local));
  }

  private placeOf(path: string): string {
    const place = this.places.asideOf(path);
    makeFolders(this.disk, dirname(place), 0o700);
    return place;
  }
}

function* filesBelow(dir: string, folder: string): Generator<string> {
  const here = folder === '' ? dir : `${dir}/${folder}`;
  if (lstat(here) === undefined) return;
  for (const entry of fs.readdirSync(here, { withFileTypes: true })) {
    const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
    if (entry.isDirectory()) yield* filesBelow(dir, path);
    else yield path;
  }
}

function freeName(path: string): string {
  for (let i = 1; ; i++) {
    const name = `${path}.kept-${i}`;
    if (lstat(name) === undefined) return name;
  }
}
