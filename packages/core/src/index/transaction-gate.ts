const State = { open: 0, inside: 1, shut: 2 } as const;

/**
 * Keeps a process from ending while one of its threads is in a transaction of the index. Node ends worker threads first, and
 * lmdb's clean-up in a thread that is stopped inside a transaction waits for that thread itself: the process would hang for
 * ever, and with the lock that it holds every other process.
 */
export class TransactionGate {
  /** Shared between the threads. */
  readonly memory: SharedArrayBuffer;
  private readonly state: Int32Array;

  constructor(memory = new SharedArrayBuffer(4)) {
    this.memory = memory;
    this.state = new Int32Array(memory);
  }

  /** Runs one transaction. A thread that comes when the gate is shut stays there: its process is ending. */
  pass<T>(transaction: () => T): T {
    if (Atomics.compareExchange(this.state, 0, State.open, State.inside) === State.shut) Atomics.wait(this.state, 0, State.shut);
    try {
      return transaction();
    } finally {
      Atomics.store(this.state, 0, State.open);
      Atomics.notify(this.state, 0);
    }
  }

  /** Waits until no transaction is under way, and lets none begin any more. */
  shut(): void {
    while (Atomics.compareExchange(this.state, 0, State.open, State.shut) === State.inside) Atomics.wait(this.state, 0, State.inside);
  }
}
