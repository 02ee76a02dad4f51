import type { ChildProcess } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { createInterface } from 'node:readline';
import { systemClock, type Clock } from './clock.js';

export interface SupervisorOptions {
  /** Stands before each line of the process's output. */
  name: string;
  /** Starts the process, with pipes for its output. */
  start: () => Promise<ChildProcess>;
  /** Where output goes. Default: this process's own. */
  stdout?: Writable;
  stderr?: Writable;
  /** Waiting times between restarts: the first, doubled each time, up to the longest. Default 200 and 30 000. */
  backoffMs?: { first?: number; longest?: number };
  /** A process that ran this long had a good start: waiting begins anew. Default 10 000. */
  steadyMs?: number;
  /** Whether a process that ended is started again. Default: unless it ended with 0. */
  restart?: 'always' | 'on-failure' | 'never';
  onExit?: (ending: Ending) => void;
  /** How a process that runs is asked to end. Default: by SIGTERM. */
  ask?: (child: ChildProcess) => void;
  /** Default: the system's. */
  clock?: Clock;
}

/** How a process ended. `error` when it did not start at all. */
export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  error?: unknown;
}

export type SupervisedState = 'starting' | 'running' | 'waiting' | 'stopped';

const DEFAULT_FIRST_MS = 200;
const DEFAULT_LONGEST_MS = 30_000;
const DEFAULT_STEADY_MS = 10_000;
const DEFAULT_GRACE_MS = 10_000;

/** Keeps one process running: starts it, brings its output out line by line, starts it again with growing pauses when it ends. */
export class Supervisor {
  readonly name: string;
  /** Settles when the process has ended for good. */
  readonly done: Promise<Ending>;
  state: SupervisedState = 'starting';
  restarts = 0;
  child: ChildProcess | undefined;
  private readonly options: SupervisorOptions;
  private readonly stopping = new AbortController();

  constructor(options: SupervisorOptions) {
    this.options = options;
    this.name = options.name;
    this.done = this.run();
  }

  /** Asks the process to end, and makes it when it has not after `graceMs`. Idempotent. */
  async stop({ graceMs = DEFAULT_GRACE_MS }: { graceMs?: number } = {}): Promise<void> {
    this.stopping.abort();
    if (this.child !== undefined) (this.options.ask ?? askBySignal)(this.child);
    const force = setTimeout(() => this.child?.kill('SIGKILL'), graceMs);
    await this.done;
    clearTimeout(force);
  }

  /** Ends a process that does not answer any more; it is started again. */
  kill(): void {
    this.child?.kill('SIGKILL');
  }

  private async run(): Promise<Ending> {
    const { restart = 'on-failure', backoffMs = {}, steadyMs = DEFAULT_STEADY_MS, clock = systemClock } = this.options;
    const { first = DEFAULT_FIRST_MS, longest = DEFAULT_LONGEST_MS } = backoffMs;
    for (let pause = Math.min(first, longest); ;) {
      const start = clock.nowMs();
      const ending = await this.runOnce();
      this.options.onExit?.(ending);
      const failed = ending.code !== 0;
      // What could not even be started the first time is no command.
      const hopeless = ending.error !== undefined && this.restarts === 0;
      if (this.stopping.signal.aborted || hopeless || restart === 'never' || (restart === 'on-failure' && !failed)) {
        this.state = 'stopped';
        return ending;
      }
      if (clock.nowMs() - start >= steadyMs) pause = Math.min(first, longest);
      this.state = 'waiting';
      await clock.sleep(pause, this.stopping.signal);
      if (this.stopping.signal.aborted) {
        this.state = 'stopped';
        return ending;
      }
      pause = Math.min(longest, 2 * pause);
      this.restarts++;
    }
  }

  private async runOnce(): Promise<Ending> {
    this.state = 'starting';
    try {
      const child = await this.options.start();
      if (this.stopping.signal.aborted) child.kill('SIGTERM');
      this.child = child;
      child.once('spawn', () => (this.state = 'running'));
      prefix(child.stdout, this.options.stdout ?? process.stdout, this.name);
      prefix(child.stderr, this.options.stderr ?? process.stderr, this.name);
      return await new Promise<Ending>((resolve) => {
        let error: unknown;
        child.on('error', (problem) => {
          error = problem;
          // A process that did not start never closes.
          if (child.pid === undefined) resolve({ code: null, signal: null, error });
        });
        child.once('close', (code, signal) => resolve({ code, signal, ...(error === undefined ? {} : { error }) }));
      });
    } catch (error) {
      return { code: null, signal: null, error };
    } finally {
      this.child = undefined;
    }
  }
}

const askBySignal = (child: ChildProcess): void => void child.kill('SIGTERM');

function prefix(source: Readable | null, target: Writable, name: string): void {
  if (source === null) return;
  createInterface({ input: source, crlfDelay: Infinity }).on('line', (line) => target.write(`[${name}] ${line}\n`));
}
