import fs from 'node:fs';
import type { Disk } from '../disk/disk.js';

const WRITE_BITS = 0o222;

/** Who may write in the folder: everybody whom the process's umask lets, or nobody, when the mount is for reading only. */
export interface WriteBits {
  /** Before something is made, moved or removed in a folder. */
  allow(folder: string): void;
  /** After a file or folder was made. */
  made(path: string): void;
  /** When all is done. */
  restore(): void;
}

export const WRITABLE: WriteBits = { allow: () => undefined, made: () => undefined, restore: () => undefined };

/** Takes the write bits away from all that is made, and lends them to folders only while something in them changes. */
export class NoWriteBits implements WriteBits {
  private readonly disk: Disk;
  private readonly folders = new Set<string>();

  constructor(disk: Disk) {
    this.disk = disk;
  }

  allow(folder: string): void {
    if (this.folders.has(folder)) return;
    const mode = modeOf(folder);
    if (mode === undefined) return;
    this.folders.add(folder);
    this.disk.chmod(folder, mode | 0o200);
  }

  made(path: string): void {
    if (fs.statSync(path).isDirectory()) this.folders.add(path);
    else setWritable(this.disk, path, false);
  }

  restore(): void {
    for (const folder of this.folders) setWritable(this.disk, folder, false);
    this.folders.clear();
  }
}

/** Sets or clears the write bits of a file or folder that is there, as far as the umask allows them. */
export function setWritable(disk: Disk, path: string, writable: boolean): void {
  const mode = modeOf(path);
  if (mode === undefined) return;
  const wanted = writable ? mode | (WRITE_BITS & ~process.umask()) : mode & ~WRITE_BITS;
  if (wanted !== mode) disk.chmod(path, wanted);
}

function modeOf(path: string): number | undefined {
  const stat = fs.lstatSync(path, { throwIfNoEntry: false });
  return stat === undefined || stat.isSymbolicLink() ? undefined : stat.mode & 0o777;
}
