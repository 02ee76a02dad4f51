import { dirname } from 'node:path';
import type { Disk } from '../disk/disk.js';
import { reads } from '../disk/reads.js';
import { removeFile, tryRemove } from '../disk/trees.js';
import { writeNewFile } from '../disk/write-file.js';
import { wrapIoError } from '../errors.js';

/** Replaces a file, or makes it, durably: whoever reads it finds the old bytes or the new ones, whole, also after a power cut. */
export function replaceFile(disk: Disk, path: string, bytes: Uint8Array): void {
  const temporary = `${path}.new`;
  removeFile(disk, temporary);
  try {
    writeNewFile(disk, temporary, bytes);
    disk.rename(temporary, path);
  } catch (error) {
    tryRemove(disk, temporary);
    throw error;
  }
  disk.syncDirectory(dirname(path));
}

/** The bytes of a file of ours; undefined where there is none. */
export function readIfThere(path: string): Uint8Array | undefined {
  try {
    return reads.readFileSync(path);
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw wrapIoError(error, `cannot read ${path}`);
  }
}
