import type { Progress, Work } from '../types.js';
import { OperationControl } from './operation-control.js';

/** Smooth for a person who looks at a bar. */
const REPORT_INTERVAL_MS = 100;

/**
 * One long call and all of its tasks. The first error, or the caller's abort, calls off the others. While it runs, progress
 * is reported every so often, from counts that the workers share.
 */
export class Operation {
  readonly control = new OperationControl();
  private readonly work: Work;
  private readonly describe: (control: OperationControl) => Progress;
  private readonly timer: NodeJS.Timeout | undefined;
  private readonly onAbort = (): void => this.fail(this.work.signal?.reason);
  private readonly listeners = new Set<(error: unknown) => void>();
  private outcome: { error: unknown } | undefined;

  /**
   * @param describe the progress, at these counts.
   * @throws `signal.reason` where it is aborted already.
   */
  constructor(work: Work, describe: (control: OperationControl) => Progress) {
    work.signal?.throwIfAborted();
    this.work = work;
    this.describe = describe;
    work.signal?.addEventListener('abort', this.onAbort, { once: true });
    if (work.onProgress !== undefined) this.timer = setInterval(() => this.reportSafely(), REPORT_INTERVAL_MS).unref();
  }

  /** Calls off what is still running. The first reason stays the reason. */
  fail(error: unknown): void {
    if (this.outcome !== undefined) return;
    this.outcome = { error };
    this.control.callOff();
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

  /** What `promise` settles to; rejects at once when the operation is called off, whatever `promise` waits for. */
  async orFailed<T>(promise: Promise<T>): Promise<T> {
    this.check();
    let stop!: () => void;
    const failed = new Promise<never>((_resolve, reject) => (stop = this.onFail(reject)));
    try {
      return await Promise.race([promise, failed]);
    } finally {
      stop();
    }
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

  /** Tells the caller how far it is. @throws what called the operation off, also when the caller does so on being told. */
  report(): void {
    this.work.onProgress?.(this.describe(this.control));
    this.check();
  }

  /** Lets go of the caller's signal and callback. */
  [Symbol.dispose](): void {
    clearInterval(this.timer);
    this.work.signal?.removeEventListener('abort', this.onAbort);
  }

  /** An error of the caller's callback fails the call, not the process. */
  private reportSafely(): void {
    try {
      this.report();
    } catch (error) {
      this.fail(error);
    }
  }
}
