import { CairnError, InvalidArgumentError, isCairnError } from '../errors.js';
import type { BackgroundCommitOptions } from '../types.js';

const INTERVAL_MS = 10_000;
const SETTLE_MS = 2_000;
const SIGNALS = ['SIGTERM', 'SIGINT'] as const;

export interface BackgroundPlan {
  intervalMs: number;
  settleMs: number;
  commitOnSignals: boolean;
}

/** @throws InvalidArgumentError */
export function backgroundPlan(option: boolean | BackgroundCommitOptions | undefined): BackgroundPlan | undefined {
  if (option === undefined || option === false) return undefined;
  const { intervalMs = INTERVAL_MS, settleMs = SETTLE_MS, commitOnSignals = false } = option === true ? {} : option;
  if (!(intervalMs > 0 && settleMs >= 0)) throw new InvalidArgumentError('an interval has to be positive', 'give milliseconds');
  return { intervalMs, settleMs, commitOnSignals };
}

/** Commits again and again, the next time a while after the last one ended, and on signals. Never keeps the process alive. */
export class BackgroundCommits {
  private readonly plan: BackgroundPlan;
  private readonly round: () => Promise<void>;
  private readonly last: () => Promise<void>;
  private timer: NodeJS.Timeout | undefined;
  private signalled = false;
  private stopped = false;

  /** `round` commits what is settled, `last` everything. Neither rejects. */
  constructor(plan: BackgroundPlan, round: () => Promise<void>, last: () => Promise<void>) {
    this.plan = plan;
    this.round = round;
    this.last = last;
    if (plan.commitOnSignals) for (const signal of SIGNALS) process.on(signal, this.onSignal);
    this.schedule();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.timer);
    // A signal that is being answered is passed on when the answer is done.
    if (!this.signalled) this.listenNoMore();
  }

  private schedule(): void {
    if (this.stopped) return;
    this.timer = setTimeout(() => {
      void this.round().finally(() => this.schedule());
    }, this.plan.intervalMs).unref();
  }

  private readonly onSignal = (signal: NodeJS.Signals): void => {
    if (this.signalled) return;
    this.signalled = true;
    void this.last().finally(() => {
      this.listenNoMore();
      // Others who listen have heard it already.
      if (process.listenerCount(signal) === 0) process.kill(process.pid, signal);
    });
  };

  private listenNoMore(): void {
    for (const signal of SIGNALS) process.off(signal, this.onSignal);
  }
}

/** What went wrong in a round, as an error that can be told to whoever listens. */
export function asCairnError(error: unknown): CairnError {
  if (isCairnError(error)) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new CairnError('EIO', message, { hint: 'look at the cause', cause: error });
}
