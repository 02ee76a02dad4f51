import { randomBytes } from 'node:crypto';
import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What happened to a disk, in a folder of its own: `trace`, a line of JSON for each thing, which all threads append to, and in
 * `bytes/` what was written. A line is appended by one call, so the order of lines is the order of things.
 */
export class Trace {
  constructor(folder) {
    this.folder = folder;
    // Threads write to one trace, and a thread opens it again with each store.
    this.writer = randomBytes(6).toString('hex');
    this.names = 0;
    mkdirSync(join(folder, 'bytes'), { recursive: true });
  }

  add(entry) {
    appendFileSync(join(this.folder, 'trace'), `${JSON.stringify(entry)}\n`);
  }

  /** Keeps bytes, and returns their name. */
  keep(bytes) {
    const name = this.unique();
    writeFileSync(this.blobPath(name), bytes);
    return name;
  }

  /** A name that nobody else gives to anything in this trace. */
  unique() {
    return `${this.writer}-${this.names++}`;
  }

  blobPath(name) {
    return join(this.folder, 'bytes', name);
  }
}
