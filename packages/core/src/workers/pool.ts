import { fileURLToPath } from 'node:url';
import type { Transferable } from 'node:worker_threads';
import type { Piscina } from 'piscina';
import { ClosedError, deserializeError, workerFailure, type SerializedError } from '../errors.js';
import type { WorkerConfig } from './config.js';
import { AbortedError } from './operation-control.js';
import { Pressure } from './pressure.js';

/** The threads' entry; only the built package has it. */
const ENTRY = fileURLToPath(new URL('./worker.js', import.meta.url));
/** Idle threads hold about 20 MiB each; starting two of them takes a seventh of a second, and three times that of CPU time. */
const IDLE_TIMEOUT_MS = 60_000;

/** Threads that start ahead of their tasks: starting many at once would slow down the work that they are for. */
const WARM_THREADS = 2;

/** What a worker is sent: a task, and an Int32 that it sets when it begins. */
export interface WorkerRequest {
  task: object;
  begun: SharedArrayBuffer;
}

/** Does nothing but load what storing takes. */
export interface WarmUpTask {
  type: 'warm-up';
}

/** What a worker answers: errors travel as data, since structured clone drops their classes. */
export type WorkerReply = { value: unknown } | { error: SerializedError } | { aborted: true };

/** Who asks for a worker; each kind waits in a line of its own, and the lines take turns. */
export type TaskKind = 'read' | 'store';

export interface TaskRunner {
  /** How many tasks can run at once. */
  readonly workers: number;
  /** Starts the threads, where there are none, while their first tasks are still being prepared. */
  warmUp(): void;
  /** @throws AbortedError for a task that saw its operation called off; WorkerDiedError; what the task threw. */
  run<T>(kind: TaskKind, task: object, transfer?: Transferable[]): Promise<T>;
}

/**
 * The worker threads of one engine, started when there is work and stopped when there has been none for a while. They never
 * keep the process alive while idle, and are never stopped at work: a thread that dies with a lock of the index hangs everybody.
 */
export class WorkerPool implements TaskRunner {
  readonly workers: number;
  private readonly config: WorkerConfig;
  private readonly pressure: Pressure;
  /** Those who wait, each by what lets it begin. */
  private readonly lines: Record<TaskKind, (() => void)[]> = { read: [], store: [] };
  private readonly underWay = new Set<Promise<unknown>>();
  private served: TaskKind = 'store';
  private running = 0;
  private starting: Promise<Piscina> | undefined;
  private closing: Promise<void> | undefined;
  private readonly giveUps = new Set<(cause: unknown) => void>();

  constructor(config: WorkerConfig, workers: number) {
    this.config = config;
    this.workers = workers;
    this.pressure = new Pressure(config.pressure);
  }

  run<T>(kind: TaskKind, task: object, transfer: Transferable[] = []): Promise<T> {
    if (this.closing !== undefined) return Promise.reject(new ClosedError('store'));
    const done = this.runInTurn(kind, task, transfer) as Promise<T>;
    this.underWay.add(done);
    const settled = (): void => void this.underWay.delete(done);
    done.then(settled, settled);
    return done;
  }

  warmUp(): void {
    if (this.starting !== undefined || this.closing !== undefined) return;
    const threads = Math.min(this.workers, WARM_THREADS);
    // What goes wrong will go wrong for the first task, too, and is told there.
    for (let i = 0; i < threads; i++) this.run('store', { type: 'warm-up' } satisfies WarmUpTask).catch(() => undefined);
  }

  /** Waits for the tasks under way, then ends the threads. Idempotent. */
  close(): Promise<void> {
    return (this.closing ??= this.end());
  }

  private async end(): Promise<void> {
    while (this.underWay.size > 0) await Promise.allSettled(this.underWay);
    if (this.starting !== undefined) await (await this.starting).destroy();
  }

  private async runInTurn(kind: TaskKind, task: object, transfer: Transferable[]): Promise<unknown> {
    await this.turn(kind);
    try {
      const pool = await (this.starting ??= this.start());
      const reply = await this.perform(pool, task, transfer);
      if ('aborted' in reply) throw new AbortedError();
      if ('error' in reply) throw deserializeError(reply.error);
      return reply.value;
    } finally {
      this.running--;
      this.next();
    }
  }

  /** The pool's own queue stays empty: tasks in it would be lost with a worker that dies. */
  private turn(kind: TaskKind): Promise<void> {
    return new Promise((begin) => {
      this.lines[kind].push(begin);
      this.next();
    });
  }

  private next(): void {
    while (this.running < this.workers) {
      const other: TaskKind = this.served === 'read' ? 'store' : 'read';
      if (this.lines[other].length > 0) this.served = other;
      const begin = this.lines[this.served].shift();
      if (begin === undefined) break;
      this.running++;
      begin();
    }
    this.pressure.waiting = this.lines.read.length + this.lines.store.length;
  }

  /** Any failure of the pool itself means that the task's thread is gone, or never was. */
  private async perform(pool: Piscina, task: object, transfer: Transferable[]): Promise<WorkerReply> {
    const begun = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
    const unstarted = new AbortController();
    const giveUp = (cause: unknown): void => {
      if (Atomics.load(new Int32Array(begun), 0) === 0) unstarted.abort(cause);
    };
    this.giveUps.add(giveUp);
    try {
      const request: WorkerRequest = { task, begun };
      return (await pool.run(request, { transferList: transfer as never, signal: unstarted.signal })) as WorkerReply;
    } catch (error) {
      throw workerFailure(unstarted.signal.reason ?? error);
    } finally {
      this.giveUps.delete(giveUp);
    }
  }

  /** Loaded when there is work: the library takes 10 ms. */
  private async start(): Promise<Piscina> {
    const { Piscina: Pool } = await import('piscina');
    const pool = new Pool({
      filename: ENTRY,
      workerData: this.config,
      // Flags of the main thread, such as --input-type, need not be fit for a file.
      execArgv: [],
      minThreads: 0,
      maxThreads: this.workers,
      idleTimeout: IDLE_TIMEOUT_MS,
      concurrentTasksPerWorker: 1,
      // Else an idle worker blocks, its read transaction stays open, and the index grows.
      atomics: 'disabled',
      recordTiming: false,
    });
    // A thread failed before it had a task: a task that waits for it would wait for ever.
    pool.on('error', (error) => {
      for (const giveUp of this.giveUps) giveUp(error);
    });
    return pool;
  }
}
