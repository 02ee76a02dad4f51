import fs from 'node:fs';
import os from 'node:os';

/**
 * A disk on which one call fails, or the process dies: `DiskSpec.module` of the tests. Plain JavaScript, so that
 * workers load it beside the built package.
 *
 * Options, all plain data:
 * - `failAt`      which call, counted from 1; none when absent (then it only counts)
 * - `kinds`       which calls count; all when absent. See KINDS.
 * - `error`       'EIO' (the default) | 'ENOSPC' | 'EMFILE': the call does nothing and fails · 'short': a write gets half its bytes
 *                 out and fails with ENOSPC · 'kill': the process dies by SIGKILL before the call ·
 *                 'tear': a write gets half its bytes out, then the process dies
 * - `times`       how many counted calls in a row fail, from `failAt` on; 1 when absent
 * - `persistent`  true: every counted call from `failAt` on fails, as on a disk that stays full
 * - `leases`      true: calls for leases count too; otherwise they do not, since an engine that cannot let go of something need not tell
 * - `counter`     SharedArrayBuffer of 4 bytes: one count for all threads that share it
 * - `counterFile` path: one count for all processes, a byte a call; survives a kill
 */
export const KINDS = ['create', 'write', 'sync', 'close', 'mkdir', 'rename', 'link', 'unlink', 'syncDirectory'];

export default function faultyDisk(inner, options, wrapIoError) {
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
    if (mode === 'kill' || mode === 'tear') die();
    const code = mode === 'short' ? 'ENOSPC' : mode;
    const cause = Object.assign(new Error(`${code}: injected at ${kind} '${path}'`), {
      code,
      errno: -os.constants.errno[code],
      syscall: kind,
      path,
    });
    throw wrapIoError(cause, `cannot ${kind} ${path}`);
  };

  const exempt = (path) => options.leases !== true && /[\\/]leases([\\/]|$)/.test(path);

  const guarded = (kind, path, action) => {
    const mode = exempt(path) ? undefined : fault(kind);
    if (mode !== undefined) raise(kind, mode, path);
    return action();
  };

  return {
    create: (path) => guarded('create', path, () => (exempt(path) ? inner.create(path) : new FaultyFile(inner.create(path), fault, raise))),
    mkdir: (path) => guarded('mkdir', path, () => inner.mkdir(path)),
    rename: (from, to) => guarded('rename', to, () => inner.rename(from, to)),
    link: (from, to) => guarded('link', to, () => inner.link(from, to)),
    unlink: (path) => guarded('unlink', path, () => inner.unlink(path)),
    syncDirectory: (path) => guarded('syncDirectory', path, () => inner.syncDirectory(path)),
  };
}

class FaultyFile {
  constructor(inner, fault, raise) {
    this.inner = inner;
    this.fault = fault;
    this.raise = raise;
    this.failure = undefined;
  }

  get path() {
    return this.inner.path;
  }

  writeSync(bytes, position) {
    this.attempt('write', (mode) => {
      if (mode === 'short' || mode === 'tear') this.inner.writeSync(half(bytes), position);
    });
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

  /** A close that fails has closed all the same, as on Linux. */
  closeSync() {
    const mode = this.fault('close');
    if (mode === 'kill' || mode === 'tear') die();
    this.inner.closeSync();
    if (mode !== undefined) this.raise('close', mode, this.path);
  }

  /** Like the real file, it is poisoned by its first failure. */
  attempt(kind, before) {
    if (this.failure !== undefined) throw this.failure;
    const mode = this.fault(kind);
    if (mode === undefined) return;
    try {
      before?.(mode);
      this.raise(kind, mode, this.path);
    } catch (error) {
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
