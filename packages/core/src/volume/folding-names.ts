import { randomUUID } from 'node:crypto';
import { existsSync, promises as fs } from 'node:fs';
import { join } from 'node:path';
import { AlreadyExistsError } from '../errors.js';

/** Whether names that differ only in case or Unicode form are one name in this folder's file system. */
export async function foldsNames(folder: string): Promise<boolean> {
  const name = `.cairn-${randomUUID()}-\u00e9`;
  await fs.writeFile(join(folder, name), '', { flag: 'wx', mode: 0o600 });
  try {
    return [name.toUpperCase(), name.normalize('NFD')].some((twin) => existsSync(join(folder, twin)));
  } finally {
    await fs.rm(join(folder, name), { force: true });
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
