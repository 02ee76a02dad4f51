import fs from 'node:fs';
import os from 'node:os';
import { handOn } from './hand-on.mjs';

/**
 * A disk on which one call fails, or the process dies: `DiskSpec.module` of the tests. Plain JavaScript, so that
 * workers load it beside the built package.
 *
 * Options, all plain data:
 * - `failAt`      which call, counted from 1; none when absent (then it only counts)
 * - `kinds`       which calls count; all that change something when absent. See KINDS, and READS for those that read
 * - `error`       'EIO' (the default) | 'ENOSPC' | 'EMFILE': the call does nothing and fails · 'short': a write gets half its bytes
 *                 out and fails with ENOSPC, and a read that asks for more than one byte brings half of them · 'kill': the process dies by SIGKILL before the call ·
 *                 'tear': a write gets half its bytes out, then the process dies · 'lost': a write does nothing and does not say so
 * - `times`       how many counted calls in a row fail, from `failAt` on; 1 when absent
 * - `persistent`  true: every counted call from `failAt` on fails, as on a disk that stays full
 * - `leases`      'only': only calls for leases count; otherwise these do not, since an engine that cannot let go of something need not tell
 * - `broken`      SharedArrayBuffer of 4 bytes: how many files were put in their place although a write or sync of them had failed
 * - `counter`     SharedArrayBuffer of 4 bytes: one count for all threads that share it
 * - `counterFile` path: one count for all processes, a byte a call; survives a kill
 */
export const KINDS = [
  ...[
    'create',
    'reopen',
    'write',
    'sync',
    'setTime',
    'close',
    'mkdir',
    'makeFolder',
    'removeFolder',
    'symlink',
    'rename',
    'link',
    'unlink',
  ],
  ...['chmod', 'syncDirectory', 'syncSource'],
];
export const READS = ['open', 'read', 'list'];

export default function faultyDisk(inner, options, wrapIoError, reads) {
  const counts = makeCounter(options);
  const kinds = new Set(options.kinds ?? KINDS);

  /** Counts a call; undefined, or what is to go wrong with it. */
  const fault = (kind) => {
    if (!kinds.has(kind)) return undefined;
    const call = counts();
    if (options.failAt === undefined || call < options.failAt) return undefined;
    const last = options.persistent === true ? Infinity : options.failAt + (options.times ?? 1) - 1;
    return call <= last ? (options.error ?? 'EIO') : undefined;
  };

  /** Raises the fault, in the form in which the real disk raises it. */
  const raise = (kind, mode, path) => {
    throw wrapIoError(errorOf(kind, mode, path), `cannot ${kind} ${path}`);
  };

  const exempt = (path) => /[\\/]leases([\\/]|$)/.test(path) !== (options.leases === 'only');

  const guarded = (kind, path, action) => {
    const mode = exempt(path) ? undefined : fault(kind);
    if (mode !== undefined) raise(kind, mode, path);
    return action();
  };

  /** Paths of files of which something failed. */
  const failed = new Set();
  const placed = (from) => {
    if (failed.has(from) && options.broken !== undefined) Atomics.add(new Int32Array(options.broken), 0, 1);
  };
  const faulty = (file) => new FaultyFile(file, fault, raise, () => failed.add(file.path));

  if (READS.some((kind) => kinds.has(kind))) failReads(reads, fault);
  return {
    ...handOn(inner),
    create: (path, mode) => guarded('create', path, () => (exempt(path) ? inner.create(path, mode) : faulty(inner.create(path, mode)))),
    open: (path) => guarded('reopen', path, () => faulty(inner.open(path))),
    attach: (path, fd) => faulty(inner.attach(path, fd)),
    ...Object.fromEntries(
      ['mkdir', 'makeFolder', 'removeFolder', 'unlink', 'chmod', 'syncDirectory'].map((kind) => [
        kind,
        (path, mode) => guarded(kind, path, () => inner[kind](path, mode)),
      ]),
    ),
    symlink: (target, path) => guarded('symlink', path, () => inner.symlink(target, path)),
    syncSource: async (path, fd) => guarded('syncSource', path, () => inner.syncSource(path, fd)),
    rename(from, to) {
      guarded('rename', to, () => inner.rename(from, to));
      placed(from);
    },
    link(from, to) {
      guarded('link', to, () => inner.link(from, to));
      placed(from);
    },
  };
}

function errorOf(kind, mode, path) {
  if (mode === 'kill' || mode === 'tear') die();
  const code = mode === 'short' ? 'ENOSPC' : mode;
  return Object.assign(new Error(`${code}: injected at ${kind} '${path}'`), {
    code,
    errno: -os.constants.errno[code],
    syscall: kind,
    path,
  });
}

/** Puts calls that fail in the place of those by which this thread reads; once for all stores that it opens. */
let real;
function failReads(reads, fault) {
  real ??= { ...reads };
  const failing = (kind, call) => (path) => {
    const mode = fault(kind);
    if (mode !== undefined && mode !== 'short') throw errorOf(kind, mode, path);
    return real[call](path);
  };
  const reading = (call) => (fd, target, offset, length, position) => {
    const mode = fault('read');
    if (mode === undefined) return real[call](fd, target, offset, length, position);
    if (mode !== 'short') throw errorOf('read', mode, `descriptor ${fd}`);
    return real[call](fd, target, offset, Math.max(1, length >> 1), position);
  };
  Object.assign(reads, {
    openSync: failing('open', 'openSync'),
    open: async (path) => failing('open', 'open')(path),
    readSync: reading('readSync'),
    read: async (...args) => reading('read')(...args),
    readFileSync: failing('read', 'readFileSync'),
    readdirSync: failing('list', 'readdirSync'),
  });
}

class FaultyFile {
  constructor(inner, fault, raise, failed) {
    this.inner = inner;
    this.fault = fault;
    this.raise = raise;
    this.failed = failed;
    this.failure = undefined;
  }

  get path() {
    return this.inner.path;
  }

  writeSync(bytes, position) {
    const lost = this.attempt('write', (mode) => {
      if (mode === 'short' || mode === 'tear') this.inner.writeSync(half(bytes), position);
    });
    if (lost) return;
    this.inner.writeSync(bytes, position);
  }

  async write(bytes, position) {
    this.attempt('write', (mode) => {
      if (mode === 'short' || mode === 'tear') this.inner.writeSync(half(bytes), position);
    });
    await this.inner.write(bytes, position);
  }

  syncSync() {
    this.attempt('sync');
    this.inner.syncSync();
  }

  async sync() {
    this.attempt('sync');
    await this.inner.sync();
  }

  get fd() {
    return this.inner.fd;
  }

  setTimeSync(mtimeNs) {
    this.attempt('setTime');
    this.inner.setTimeSync(mtimeNs);
  }

  /** A close that fails has closed all the same, as on Linux. */
  closeSync() {
    const mode = this.fault('close');
    if (mode === 'kill' || mode === 'tear') die();
    this.inner.closeSync();
    if (mode !== undefined) this.raise('close', mode, this.path);
  }

  /** Like the real file, it is poisoned by its first failure. True: the call is to do nothing, and not to say so. */
  attempt(kind, before) {
    if (this.failure !== undefined) throw this.failure;
    const mode = this.fault(kind);
    if (mode === undefined) return false;
    if (mode === 'lost') return true;
    try {
      before?.(mode);
      this.raise(kind, mode, this.path);
    } catch (error) {
      this.failed();
      this.failure = error;
      throw error;
    }
  }
}

function half(bytes) {
  return bytes.subarray(0, Math.floor(bytes.byteLength / 2));
}

function die() {
  process.kill(process.pid, 'SIGKILL');
  // The signal may take a moment to arrive, in which nothing more may reach the disk.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
}

function makeCounter({ counter, counterFile }) {
  if (counter !== undefined) {
    const count = new Int32Array(counter);
    return () => Atomics.add(count, 0, 1) + 1;
  }
  if (counterFile !== undefined) {
    return () => {
      const fd = fs.openSync(counterFile, 'a', 0o600);
      try {
        fs.writeSync(fd, '.');
        return fs.fstatSync(fd).size;
      } finally {
        fs.closeSync(fd);
      }
    };
  }
  let calls = 0;
  return () => ++calls;
}
