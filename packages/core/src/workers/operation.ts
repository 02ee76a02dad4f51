/** Raised in a worker whose operation was called off; the thread that called it off knows why. */
export class AbortedError extends Error {
  constructor() {
    super('the operation was aborted');
    this.name = 'AbortedError';
  }
}

/** The worker's view of `Operation.flag`. */
export function checkAborted(flag: Int32Array): void {
  if (Atomics.load(flag, 0) !== 0) throw new AbortedError();
}

/**
 * One long call and all of its tasks. The first error, or the caller's abort, calls off the others: by a flag in shared
 * memory that workers look at between blocks, because a worker that is terminated may hold a lock of the index.
 */
export class Operation {
  /** An Int32 that is not zero once the operation is called off. */
  readonly flag = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
  private readonly signal: AbortSignal | undefined;
  private readonly onAbort = (): void => this.fail(this.signal?.reason);
  private readonly listeners = new Set<(error: unknown) => void>();
  private outcome: { error: unknown } | undefined;

  /** @throws `signal.reason` where it is aborted already. */
  constructor(signal?: AbortSignal) {
    signal?.throwIfAborted();
    this.signal = signal;
    signal?.addEventListener('abort', this.onAbort, { once: true });
  }

  /** Calls off what is still running. The first reason stays the reason. */
  fail(error: unknown): void {
    if (this.outcome !== undefined) return;
    this.outcome = { error };
    Atomics.store(new Int32Array(this.flag), 0, 1);
    for (const listener of this.listeners) listener(error);
  }

  /** Calls `listener` with the reason when the operation is called off; returns how to stop that. */
  onFail(listener: (error: unknown) => void): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** @throws what called the operation off. */
  check(): void {
    if (this.outcome !== undefined) throw this.outcome.error;
  }

  /** Runs a part of the operation; when it fails, so does the operation, with the first error of all parts. */
  async part<T>(work: () => Promise<T>): Promise<T> {
    this.check();
    try {
      return await work();
    } catch (error) {
      this.fail(error);
      throw this.outcome!.error;
    }
  }

  /** Lets go of the caller's signal. */
  [Symbol.dispose](): void {
    this.signal?.removeEventListener('abort', this.onAbort);
  }
}
