import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Disk } from '../disk/disk.js';
import { removeFile } from '../disk/trees.js';
import { AlreadyExistsError } from '../errors.js';

/** Whether names that differ only in case or Unicode form are one name in this folder's file system. */
export function foldsNames(disk: Disk, folder: string): boolean {
  const name = `.cairn-${randomUUID()}-\u00e9`;
  try {
    disk.create(join(folder, name)).closeSync();
    return [name.toUpperCase(), name.normalize('NFD')].some((twin) => existsSync(join(folder, twin)));
  } finally {
    removeFile(disk, join(folder, name));
  }
}

/** Refuses a second name that the target file system would take for one that was written already. */
export class FoldingNames {
  private readonly seen: Map<string, string> | undefined;

  constructor(folds: boolean) {
    this.seen = folds ? new Map() : undefined;
  }

  claim(path: string): void {
    if (this.seen === undefined) return;
    const folded = path.normalize('NFC').toLowerCase();
    const other = this.seen.get(folded);
    if (other !== undefined) {
      throw new AlreadyExistsError('EEXIST', `'${path}' and '${other}' are one name on this file system`, {
        hint: 'write to a case-sensitive file system, or rename one of them in the volume',
      });
    }
    this.seen.set(folded, path);
  }
}
