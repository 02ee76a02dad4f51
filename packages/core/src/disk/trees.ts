import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Disk } from './disk.js';

/** A folder with all missing parents, with mode 0777 if none is given, less the umask; not durable. No error where there is one. */
export function makeFolders(disk: Disk, folder: string, mode?: number): void {
  try {
    disk.makeFolder(folder, mode);
  } catch (error) {
    if (codeOf(error) === 'EEXIST' && statSync(folder, { throwIfNoEntry: false })?.isDirectory() === true) return;
    if (codeOf(error) !== 'ENOENT' || dirname(folder) === folder) throw error;
    makeFolders(disk, dirname(folder), mode);
    makeFolders(disk, folder, mode);
  }
}

/** A new folder that nobody else may look into; its name begins with `prefix`, a path. */
export function makeTemporaryFolder(disk: Disk, prefix: string): string {
  const folder = `${prefix}${randomBytes(6).toString('hex')}`;
  disk.makeFolder(folder, 0o700);
  return folder;
}

/** Removes a file, or a folder with all that is in it; never follows a symlink. No error where there is nothing. */
export function removeTree(disk: Disk, path: string): void {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory() !== true) return removeFile(disk, path);
  unlessGone(() => {
    for (const name of readdirSync(path)) removeTree(disk, join(path, name));
    disk.removeFolder(path);
  });
}

/** Removes a file that may be gone already. */
export function removeFile(disk: Disk, path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) unlessGone(() => disk.unlink(path));
}

/** Removes what an action that failed has left, as far as that can be: why it failed matters more. */
export function tryRemove(disk: Disk, path: string): void {
  try {
    removeTree(disk, path);
  } catch {
    // told by whoever looks why the folder is not empty
  }
}

function unlessGone(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}
