import { copyFileSync, existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { Trace } from './trace-file.mjs';

/**
 * A disk that writes down everything that is done to it, by all threads in one order, with the bytes: `DiskSpec.module` of the
 * tests, which make of it what a power cut could have left. Plain JavaScript, so that workers load it beside the built package.
 *
 * A change is written down when it has happened, a sync when it begins and when it is done: it covers what was written down
 * before it began, which is never more than what the real one covers.
 *
 * Options: `root`, the folder that paths are told in · `trace`, see `Trace` · `index`, path of the index's data file ·
 * `timed`: true when the times of files that come from elsewhere are told as well
 */
export default function tracingDisk(inner, { root, trace: folder, index, timed = false }) {
  const trace = new Trace(folder);
  const told = (path) => relative(root, path);
  /** Paths that this thread made through this disk; what others made is found in the trace all the same. */
  const made = new Set();

  /** A file that was not made through this disk, as a restored one: its bytes are what they are now, and nobody has synced them. */
  const adopt = (path, synced) => {
    if (made.has(path)) return;
    const stat = lstatSync(path, { throwIfNoEntry: false, bigint: true });
    if (stat?.isDirectory() === true) {
      trace.add({ op: 'adopt-folder', path: told(path) });
      // Only LMDB makes folders of its own, and syncs what it writes.
      for (const name of readdirSync(path)) if (name !== 'lock.mdb') adopt(join(path, name), true);
    } else if (stat?.isFile() === true) {
      const times = timed ? { mtimeNs: String(stat.mtimeNs) } : {};
      trace.add({ op: 'adopt', path: told(path), bytes: trace.keep(readFileSync(path)), synced, ...times });
    }
  };
  const recordIndex = () => {
    const name = trace.unique();
    copyFileSync(index, trace.blobPath(name));
    trace.add({ op: 'index', path: told(index), bytes: name });
  };
  const sync = (path) => {
    // Whoever syncs the folder of a new index wants its name to last.
    if (path === dirname(index) && existsSync(index)) recordIndex();
    else if (existsSync(join(path, 'data.mdb'))) adopt(join(path, 'data.mdb'), true);
    const id = trace.unique();
    trace.add({ op: 'sync-folder', path: told(path), id });
    inner.syncDirectory(path);
    trace.add({ op: 'folder-synced', path: told(path), id });
  };

  return {
    create(path) {
      const file = inner.create(path);
      const id = trace.unique();
      made.add(path);
      trace.add({ op: 'create', path: told(path), file: id });
      return new TracedFile(file, id, trace);
    },
    /** The real one syncs the parents of what it makes, which is part of its promise. */
    mkdir(path) {
      const missing = [];
      for (let at = path; !existsSync(at) && at !== root; at = dirname(at)) missing.push(at);
      inner.mkdir(path);
      for (const folder of missing.reverse()) trace.add({ op: 'mkdir', path: told(folder) });
      for (const folder of missing.reverse()) {
        const id = trace.unique();
        trace.add({ op: 'sync-folder', path: told(dirname(folder)), id, made: true });
        trace.add({ op: 'folder-synced', path: told(dirname(folder)), id, made: true });
      }
    },
    rename(from, to) {
      adopt(from, false);
      inner.rename(from, to);
      if (made.delete(from)) made.add(to);
      trace.add({ op: 'rename', path: told(from), to: told(to) });
    },
    link(from, to) {
      adopt(from, false);
      inner.link(from, to);
      if (made.has(from)) made.add(to);
      trace.add({ op: 'link', path: told(from), to: told(to) });
    },
    unlink(path) {
      inner.unlink(path);
      made.delete(path);
      trace.add({ op: 'unlink', path: told(path) });
    },
    syncDirectory: sync,
    indexCommitted: recordIndex,
  };
}

class TracedFile {
  constructor(inner, id, trace) {
    this.inner = inner;
    this.id = id;
    this.trace = trace;
  }

  get path() {
    return this.inner.path;
  }

  writeSync(bytes, position) {
    const kept = this.trace.keep(bytes);
    this.inner.writeSync(bytes, position);
    this.trace.add({ op: 'write', file: this.id, at: position, bytes: kept });
  }

  async write(bytes, position) {
    const kept = this.trace.keep(bytes);
    await this.inner.write(bytes, position);
    this.trace.add({ op: 'write', file: this.id, at: position, bytes: kept });
  }

  syncSync() {
    const id = this.begin();
    this.inner.syncSync();
    this.trace.add({ op: 'synced', file: this.id, id });
  }

  async sync() {
    const id = this.begin();
    await this.inner.sync();
    this.trace.add({ op: 'synced', file: this.id, id });
  }

  closeSync() {
    this.inner.closeSync();
  }

  begin() {
    const id = this.trace.unique();
    this.trace.add({ op: 'sync', file: this.id, id });
    return id;
  }
}
