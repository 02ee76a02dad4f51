import type { KeyRange } from './keys.js';

/** Which file an index is, whatever its name: a repair puts another one in its place. */
export interface IndexIdentity {
  dev: number;
  ino: number;
}

export interface Item {
  key: Uint8Array;
  value: Uint8Array;
}

/** The keys and values of an index. Errors are ours already. */
export interface IndexStorage {
  readonly identity: IndexIdentity;
  /** The value of a key, in memory that the next look-up may use again. */
  get(key: Uint8Array): Uint8Array | undefined;
  /** In the order of the keys, `limit` at most. */
  items(range: KeyRange, options?: { limit?: number; reverse?: boolean }): Iterable<Item>;
  /** Within a transaction only, as the next two. */
  keys(range: KeyRange): Iterable<Uint8Array>;
  put(key: Uint8Array, value: Uint8Array): void;
  remove(key: Uint8Array): void;
  /**
   * Runs `body` under the write lock, which all processes share, and commits durably; when it throws, nothing has happened.
   * `body` sees everything committed before it.
   */
  transaction(body: () => void): void;
  /** @throws CairnError `CAIRN_INDEX_REPLACED` when the name no longer leads to the open file. */
  assertNotReplaced(): void;
  /** What is read from now on is no older than this moment; within a tick reads otherwise stay where they were. */
  refresh(): void;
  /** Frees the slots of readers that died. */
  checkReaders(): void;
  /** Idempotent. */
  close(): Promise<void>;
}
