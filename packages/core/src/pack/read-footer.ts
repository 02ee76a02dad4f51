import fs from 'node:fs';
import { reads } from '../disk/reads.js';
import { wrapIoError } from '../errors.js';
import type { Hasher } from '../hash/hasher.js';
import { damagedPack, footerBytes, parseFooter, TRAILER_BYTES } from './footer.js';
import { type ObjectTable, ROW_BYTES } from './object-table.js';
import type { PackId } from './pack-id.js';

/** One read brings the footer of nearly every small pack, and of a big one of 1 MiB blocks. */
const FIRST_READ_BYTES = 512 * ROW_BYTES + TRAILER_BYTES;

/**
 * Reads and checks the footer of a pack file. What is allocated is bounded by the file's size and by the cap on rows.
 *
 * @param id what the file must say that it is: from its name, or from the index.
 * @throws DamageError (kind `pack`) when the file is missing, cut short or altered.
 * @throws StoreFormatError when a newer version wrote it.
 */
export function readFooter(path: string, id: PackId, hasher: Hasher): { table: ObjectTable; sizeBytes: number } {
  const fd = openPack(path, id);
  try {
    const stat = fs.fstatSync(fd);
    if (!stat.isFile() || stat.size < TRAILER_BYTES) throw damagedPack(id, 'it is no file, or shorter than a footer');
    const first = readExactly(fd, id, Math.max(0, stat.size - FIRST_READ_BYTES), Math.min(stat.size, FIRST_READ_BYTES));
    const length = footerBytes(first.subarray(first.byteLength - TRAILER_BYTES), stat.size, id);
    const footer = length <= first.byteLength ? first.subarray(first.byteLength - length) : readExactly(fd, id, stat.size - length, length);
    return { table: parseFooter(footer, stat.size, id, hasher).slice(), sizeBytes: stat.size };
  } catch (error) {
    throw wrapIoError(error, `cannot read pack ${id}`);
  } finally {
    fs.closeSync(fd);
  }
}

/** Opens a pack to read it; a missing one is damage, since whoever asks has seen its name. */
export function openPack(path: string, id: PackId): number {
  try {
    return reads.openSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw damagedPack(id, 'the file is missing', error);
    throw wrapIoError(error, `cannot open pack ${id}`);
  }
}

/** `length` bytes from `offset`, into `target` where one is given. A file that ends before is damage. */
export function readExactly(
  fd: number,
  id: PackId,
  offset: number,
  length: number,
  target: Uint8Array = new Uint8Array(length),
): Uint8Array {
  try {
    for (let done = 0; done < length;) {
      const bytes = reads.readSync(fd, target, done, length - done, offset + done);
      if (bytes === 0) throw damagedPack(id, `it ends before byte ${offset + length}`);
      done += bytes;
    }
  } catch (error) {
    throw wrapIoError(error, `cannot read pack ${id}`);
  }
  return target.byteLength === length ? target : target.subarray(0, length);
}
