import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import type { Disk, WritableFile } from '../disk/disk.js';
import { isCairnError } from '../errors.js';

/** What a deletion needs at most, in all but huge histories: a file in the ref journal, and the pages of the index that it touches. */
export const RESERVE_BYTES = 2 << 20;

/** Room that is kept so that a full disk can be made emptier: a file that is given up for a deletion, and made again when there is room. */
export class Reserve {
  private readonly disk: Disk;
  private readonly path: string;

  constructor(disk: Disk, path: string) {
    this.disk = disk;
    this.path = path;
  }

  /** Runs what frees space, if need be in the room that was kept for it. */
  spentOn<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!isCairnError(error, 'ENOSPC') || !this.giveUp()) throw error;
    }
    try {
      return work();
    } finally {
      this.refill();
    }
  }

  /** Best effort: on a disk that is full there is none. Never throws. */
  refill(): void {
    try {
      const size = fs.statSync(this.path, { throwIfNoEntry: false })?.size;
      if (size === RESERVE_BYTES) return;
      if (size !== undefined) this.disk.unlink(this.path);
      this.write(this.disk.create(this.path));
    } catch {
      // another process makes it at this moment, or there is no room
    }
  }

  private write(file: WritableFile): void {
    try {
      // Random, since some file systems keep no room for zeros.
      file.writeSync(randomBytes(RESERVE_BYTES), 0);
    } catch (error) {
      this.giveUp();
      throw error;
    } finally {
      file.closeSync();
    }
  }

  /** False where there was nothing to give up. */
  private giveUp(): boolean {
    try {
      this.disk.unlink(this.path);
      return true;
    } catch {
      return false;
    }
  }
}
