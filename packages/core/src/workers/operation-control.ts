/** Raised in a worker whose operation was called off; the thread that called it off knows why. */
export class AbortedError extends Error {
  constructor() {
    super('the operation was aborted');
    this.name = 'AbortedError';
  }
}

/** What an operation and its tasks on other threads share: whether it was called off, and how much is done. */
export class OperationControl {
  readonly memory: SharedArrayBuffer;
  /** 1 once called off. */
  private readonly flag: Int32Array;
  /** Bytes done, and those of them that were new to the store. */
  private readonly counts: BigInt64Array;

  constructor(memory = new SharedArrayBuffer(24)) {
    this.memory = memory;
    this.flag = new Int32Array(memory, 0, 1);
    this.counts = new BigInt64Array(memory, 8, 2);
  }

  /**
   * To be called between blocks of work: a worker is never terminated, since it may hold a lock of the index.
   * @throws AbortedError once the operation is called off.
   */
  check(): void {
    if (Atomics.load(this.flag, 0) !== 0) throw new AbortedError();
  }

  callOff(): void {
    Atomics.store(this.flag, 0, 1);
  }

  /** Counts bytes as done; a negative number takes some back. */
  advance(bytes: number): void {
    Atomics.add(this.counts, 0, BigInt(bytes));
  }

  /** Counts bytes, done as well, as new to the store. */
  advanceNew(bytes: number): void {
    Atomics.add(this.counts, 1, BigInt(bytes));
  }

  get bytes(): number {
    return Number(Atomics.load(this.counts, 0));
  }

  get newBytes(): number {
    return Number(Atomics.load(this.counts, 1));
  }
}
