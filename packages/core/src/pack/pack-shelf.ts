import type { Disk, WritableFile } from '../disk/disk.js';
import { reads } from '../disk/reads.js';
import { wrapIoError } from '../errors.js';
import type { Hasher } from '../hash/hasher.js';
import type { PackId } from './pack-id.js';
import type { StoreLayout } from './store-layout.js';

/** Where one thread puts the packs that it writes. Keep one: it knows which folders are durable. */
export class PackShelf {
  readonly disk: Disk;
  readonly layout: StoreLayout;
  /** Lease id that unfinished files are named for. */
  readonly owner: string;
  readonly hasher: Hasher;
  /** By name. */
  private readonly durableFolders = new Set<string>();

  constructor(disk: Disk, layout: StoreLayout, owner: string, hasher: Hasher) {
    this.disk = disk;
    this.layout = layout;
    this.owner = owner;
    this.hasher = hasher;
  }

  incomingPath(id: PackId): string {
    return this.layout.incomingPath(this.owner, id);
  }

  /** Moves a synced, closed file into its place for good. When that fails nothing of the pack is left in place. */
  publish(id: PackId): void {
    const folder = this.layout.packDir(id);
    const place = this.layout.packPath(id);
    if (!this.durableFolders.has(this.layout.packFolder(id))) this.settleFolder(folder);
    this.disk.rename(this.incomingPath(id), place);
    try {
      this.disk.syncDirectory(folder);
    } catch (error) {
      this.discard(place);
      throw error;
    }
  }

  /** Gives up an unfinished file. One that stays is worthless and goes with its owner's lease, so errors do not matter. */
  abandon(file: WritableFile): void {
    try {
      file.closeSync();
    } catch {
      // Its descriptor is gone all the same.
    }
    this.discard(file.path);
  }

  /** Sees to it that a folder of packs is there, and durable, as all are then that were there before. */
  private settleFolder(folder: string): void {
    this.disk.mkdir(folder);
    const there = this.folders();
    // Also where it existed: another process may have made it a moment ago and not have synced it yet.
    this.disk.syncDirectory(this.layout.packsDir);
    for (const name of there) this.durableFolders.add(name);
  }

  private folders(): string[] {
    try {
      return reads.readdirSync(this.layout.packsDir);
    } catch (error) {
      throw wrapIoError(error, `cannot list ${this.layout.packsDir}`);
    }
  }

  private discard(file: string): void {
    try {
      this.disk.unlink(file);
    } catch {
      // No entry of any index points at it.
    }
  }
}
