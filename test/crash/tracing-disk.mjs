import { copyFileSync, existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { handOn } from '../support/hand-on.mjs';
import { Trace } from './trace-file.mjs';

/**
 * A disk that writes down everything that is done to it, by all threads in one order, with the bytes: `DiskSpec.module` of the
 * tests, which make of it what a power cut could have left. Plain JavaScript, so that workers load it beside the built package.
 *
 * A change is written down when it has happened, a sync when it begins and when it is done: it covers what was written down
 * before it began, which is never more than what the real one covers.
 *
 * Options: `root`, the folder that paths are told in · `trace`, see `Trace` · `index`, path of the index's data file
 */
export default function tracingDisk(inner, { root, trace: folder, index }) {
  const trace = new Trace(folder);
  const told = (path) => relative(root, path);

  /** LMDB's file in a folder is not made through this disk; LMDB syncs what it writes. */
  const adopt = (path) => {
    const data = join(path, 'data.mdb');
    if (existsSync(data)) trace.add({ op: 'adopt', path: told(data), bytes: trace.keep(readFileSync(data)) });
  };
  const recordIndex = () => {
    const name = trace.unique();
    copyFileSync(index, trace.blobPath(name));
    trace.add({ op: 'index', path: told(index), bytes: name });
  };
  const sync = (path) => {
    // Whoever syncs the folder of a new index wants its name to last.
    if (path === dirname(index) && existsSync(index)) recordIndex();
    else adopt(path);
    const id = trace.unique();
    trace.add({ op: 'sync-folder', path: told(path), id });
    inner.syncDirectory(path);
    trace.add({ op: 'folder-synced', path: told(path), id });
  };

  /** `op`: 'create', or 'open' for one that was made before, by whichever thread. */
  const traced = (op, file) => {
    const id = trace.unique();
    trace.add({ op, path: told(file.path), file: id });
    return new TracedFile(file, id, trace);
  };

  return {
    ...handOn(inner),
    create: (path, mode) => traced('create', inner.create(path, mode)),
    open: (path) => traced('open', inner.open(path)),
    attach: (path, fd) => traced('open', inner.attach(path, fd)),
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
    makeFolder(path, mode) {
      inner.makeFolder(path, mode);
      trace.add({ op: 'mkdir', path: told(path) });
    },
    removeFolder(path) {
      inner.removeFolder(path);
      trace.add({ op: 'unlink', path: told(path) });
    },
    symlink(target, path) {
      inner.symlink(target, path);
      trace.add({ op: 'symlink', path: told(path), target });
    },
    rename(from, to) {
      adopt(from);
      inner.rename(from, to);
      trace.add({ op: 'rename', path: told(from), to: told(to) });
    },
    link(from, to) {
      inner.link(from, to);
      trace.add({ op: 'link', path: told(from), to: told(to) });
    },
    unlink(path) {
      inner.unlink(path);
      trace.add({ op: 'unlink', path: told(path) });
    },
    syncDirectory: sync,
    async syncSource(path, fd) {
      const id = trace.unique();
      trace.add({ op: 'sync-source', path: told(path), id });
      await inner.syncSource(path, fd);
      trace.add({ op: 'source-synced', path: told(path), id });
    },
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

  get fd() {
    return this.inner.fd;
  }

  setTimeSync(mtimeNs) {
    this.inner.setTimeSync(mtimeNs);
    this.trace.add({ op: 'time', file: this.id, mtimeNs: String(mtimeNs) });
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
