import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { open, type RootDatabase } from 'lmdb';
import { CairnError, DamageError, isCairnError, wrapIoError } from '../errors.js';
import { assertOpenable } from './data-file.js';
import type { KeyRange } from './keys.js';
import type { IndexIdentity, IndexStorage, Item } from './storage.js';
import { TransactionGate } from './transaction-gate.js';

export type { IndexIdentity } from './storage.js';

export interface EnvironmentOptions {
  /** False: no fsync. All threads and processes must agree, so it is a property of the store. */
  durable: boolean;
  /** Only for a folder that cannot be written: whoever opens the index first in a process decides for all its threads. */
  readOnly?: boolean;
  /** What another thread of this engine has open. */
  expected?: IndexIdentity;
  /** Of a thread that writes, when the process may end while it does. */
  gate?: TransactionGate;
  /** Called after each transaction of this thread, when it is durable. */
  onCommit?: () => void;
}

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** Threads of all processes that read at the same time. */
const MAX_READERS = 1000;
/** More than the pages of one transaction. */
const FULL_BYTES = 1 << 20;

/**
 * The LMDB environment of the index, as one thread has it open. Threads of one process share it inside lmdb, which counts
 * its users; each of them closes its own. Never open or copy `lock.mdb` by other means in such a process: closing any
 * descriptor of that file drops the process's POSIX locks, and other processes would then reuse pages that it still reads.
 */
export class IndexEnvironment implements IndexStorage {
  readonly db: RootDatabase<Uint8Array, Uint8Array>;
  readonly identity: IndexIdentity;
  private readonly dataPath: string;
  private readonly gate: TransactionGate;
  private readonly onCommit: (() => void) | undefined;
  private closed = false;

  private constructor(
    db: RootDatabase<Uint8Array, Uint8Array>,
    dataPath: string,
    identity: IndexIdentity,
    { gate = new TransactionGate(), onCommit }: EnvironmentOptions,
  ) {
    this.db = db;
    this.gate = gate;
    this.onCommit = onCommit;
    this.dataPath = dataPath;
    this.identity = identity;
  }

  /** Opens the index, and makes an empty one where there is none. @throws CairnError `CAIRN_INDEX_REPLACED`, DamageError */
  static open(indexDir: string, options: EnvironmentOptions): IndexEnvironment {
    const dataPath = path.join(indexDir, 'data.mdb');
    const gate = options.gate ?? new TransactionGate();
    if (options.readOnly !== true) fs.mkdirSync(indexDir, { recursive: true, mode: FOLDER_MODE });
    for (;;) {
      const before = identityOf(dataPath);
      assertOpenable(indexDir, options.readOnly ?? false);
      // Opening takes the write lock for a moment too.
      const db = translated('open', () => gate.pass(() => openDatabase(indexDir, options)));
      const identity = identityOf(dataPath);
      if (identity === undefined || (before !== undefined && !same(before, identity))) {
        void db.close();
        continue; // replaced while it was opened: which of the two it is cannot be told
      }
      if (options.expected !== undefined && !same(identity, options.expected)) {
        void db.close();
        throw indexReplaced();
      }
      return new IndexEnvironment(db, dataPath, identity, { ...options, gate });
    }
  }

  get(key: Uint8Array): Uint8Array | undefined {
    try {
      return this.db.getBinaryFast(key);
    } catch (error) {
      throw translate(error, 'read');
    }
  }

  items(range: KeyRange, { reverse = false, ...limit }: { limit?: number; reverse?: boolean } = {}): Iterable<Item> {
    const bounds = reverse ? { start: range.end, end: range.start, reverse, exclusiveStart: true, inclusiveEnd: true } : range;
    return translatedItems(this.db.getRange({ ...bounds, ...limit }));
  }

  keys(range: KeyRange): Iterable<Uint8Array> {
    return this.db.getKeys({ start: range.start, end: range.end });
  }

  put(key: Uint8Array, value: Uint8Array): void {
    void this.db.put(key, value);
  }

  remove(key: Uint8Array): void {
    void this.db.remove(key);
  }

  assertNotReplaced(): void {
    const now = identityOf(this.dataPath);
    if (now === undefined || !same(now, this.identity)) throw indexReplaced();
  }

  transaction(body: () => void): void {
    this.db.resetReadTxn();
    try {
      this.gate.pass(() => this.db.transactionSync(() => this.checked(body)));
    } catch (error) {
      throw translate(
        cutShort(error) && isFull(path.dirname(this.dataPath)) ? Object.assign(error, { code: os.constants.errno.ENOSPC }) : error,
        'write',
      );
    }
    this.onCommit?.();
  }

  private checked(body: () => void): void {
    // After a failed write of its meta page LMDB begins no transaction any more, and lmdb does not say so.
    if (this.db.getWriteTxnId() === 0)
      throw new CairnError('EIO', 'the index takes no more writes after a disk error', { hint: 'close the store and open it again' });
    const result: unknown = body();
    if (result !== undefined) throw new TypeError('a transaction must not return anything: a promise would leave it open');
  }

  refresh(): void {
    this.db.resetReadTxn();
  }

  checkReaders(): void {
    this.db.readerCheck();
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.db.close();
  }
}

/** The repair of a running store builds a new index aside and renames it into place. */
export function indexReplaced(): CairnError {
  return new CairnError('CAIRN_INDEX_REPLACED', 'the index of this store was replaced while it was open, by a repair', {
    hint: 'nothing was published: close the store, open it again, and repeat the operation',
  });
}

/** LMDB makes this of a write that took fewer bytes than it was given. */
function cutShort(error: unknown): error is Error {
  return error instanceof Error && Math.abs(Number((error as { code?: unknown }).code)) === os.constants.errno.EIO;
}

/** Whether a disk has so little room that this is why a write was cut short. */
function isFull(dir: string): boolean {
  const { bavail, bsize } = fs.statfsSync(dir);
  return bavail * bsize < FULL_BYTES;
}

/** Runs what calls lmdb, and makes its errors ours. */
function translated<T>(doing: 'open' | 'read' | 'write', action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw translate(error, doing);
  }
}

function openDatabase(indexDir: string, options: EnvironmentOptions): RootDatabase<Uint8Array, Uint8Array> {
  return open<Uint8Array, Uint8Array>({
    path: indexDir,
    encoding: 'binary',
    keyEncoding: 'binary',
    maxReaders: MAX_READERS,
    readOnly: options.readOnly ?? false,
    // The defaults lose acknowledged commits, or files, at a power cut.
    overlappingSync: false,
    safeRestore: true,
    noSync: !options.durable,
    permissionsMode: FILE_MODE,
  } as Parameters<typeof open>[0]);
}

function identityOf(file: string): IndexIdentity | undefined {
  const stat = fs.statSync(file, { throwIfNoEntry: false });
  return stat === undefined ? undefined : { dev: stat.dev, ino: stat.ino };
}

function same(a: IndexIdentity, b: IndexIdentity): boolean {
  return a.dev === b.dev && a.ino === b.ino;
}

/** LMDB's codes for a file that is not what it wrote: MDB_PAGE_NOTFOUND, MDB_CORRUPTED, MDB_VERSION_MISMATCH, MDB_INVALID. */
const DAMAGE_CODES = new Set([-30797, -30796, -30794, -30793]);
/** The same where nothing is written: MDB_CURSOR_FULL, MDB_PAGE_FULL, MDB_BAD_TXN, MDB_PROBLEM. */
const DAMAGE_CODES_OF_READS = new Set([-30787, -30786, -30782, -30779]);

/** What a range holds, with errors of lmdb as ours. */
function* translatedItems<T>(range: Iterable<T>): Generator<T, void, undefined> {
  const items = range[Symbol.iterator]();
  try {
    for (;;) {
      const next = translated('read', () => items.next());
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    items.return?.();
  }
}

/**
 * Each process that reads locks the byte of the lock file at its number. While another one with this number has that, lmdb tries for
 * ten seconds, and goes on with no transaction at all.
 */
function isWithoutReader(error: unknown): boolean {
  return error instanceof TypeError && /null.*'address'/.test(error.message);
}

function samePid(cause: unknown): CairnError {
  return new CairnError('CAIRN_SAME_PID', `a process of another pid namespace, with the same number ${process.pid}, has the store open`, {
    hint: "let both share a pid namespace ('docker run --pid=host', 'shareProcessNamespace' in Kubernetes), or start this process so that it has another number",
    cause,
  });
}

/** An error of lmdb as one of ours. */
function translate(error: unknown, doing: 'open' | 'read' | 'write'): unknown {
  if (doing === 'read' && isWithoutReader(error)) return samePid(error);
  if (isCairnError(error) || !(error instanceof Error)) return error;
  const code: unknown = (error as { code?: unknown }).code;
  if (typeof code !== 'number') return error;
  if (DAMAGE_CODES.has(code) || (doing !== 'write' && DAMAGE_CODES_OF_READS.has(code)))
    return new DamageError(`cannot ${doing} the index: ${error.message}`, [{ kind: 'index', id: 'index/data.mdb', affects: [] }], error);
  const name = Object.entries(os.constants.errno).find(([, value]) => value === Math.abs(code))?.[0];
  return wrapIoError(name === undefined ? error : Object.assign(error, { code: name }), `cannot ${doing} the index`);
}
