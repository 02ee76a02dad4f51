import fs from 'node:fs';
import { promisify } from 'node:util';
import { READ_FLAGS } from '../util/open-flags.js';

/** The calls of the system by which core reads files and lists folders. Errors come as the system raises them. */
export interface Reads {
  openSync(path: string): number;
  open(path: string): Promise<number>;
  /** Fewer bytes than asked for are no error; 0 are the end. */
  readSync(fd: number, target: Uint8Array, offset: number, length: number, position: number): number;
  read(fd: number, target: Uint8Array, offset: number, length: number, position: number): Promise<number>;
  readFileSync(path: string): Uint8Array;
  /** The names in a folder, in no order. */
  readdirSync(path: string): string[];
}

/** More than any file of a store that is read whole. */
const MAX_WHOLE_BYTES = 1 << 30;

const openAsync = promisify(fs.open);
const readAsync = promisify(fs.read);

/** Those of this thread: one object, in which a test can put others. */
export const reads: Reads = {
  openSync: (path) => fs.openSync(path, READ_FLAGS),
  open: (path) => openAsync(path, READ_FLAGS),
  readSync: (fd, target, offset, length, position) => fs.readSync(fd, target, offset, length, position),
  read: async (fd, target, offset, length, position) => (await readAsync(fd, target, offset, length, position)).bytesRead,
  readFileSync(path) {
    const fd = fs.openSync(path, READ_FLAGS);
    try {
      const stat = fs.fstatSync(fd);
      // A device in the place of a file never ends.
      if (!stat.isFile() || stat.size > MAX_WHOLE_BYTES)
        throw Object.assign(new Error(`EISDIR: something else than a file of a store, read '${path}'`), { code: 'EISDIR' });
      return fs.readFileSync(fd);
    } finally {
      fs.closeSync(fd);
    }
  },
  readdirSync: (path) => fs.readdirSync(path),
};
