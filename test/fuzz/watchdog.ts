import { Worker } from 'node:worker_threads';

/** Far more than any input takes, on any machine: what is not done by then never ends. */
const LIMIT_MS = 120_000;

/** Kills the process when one input takes for ever, having said which: synchronous code that hangs cannot be stopped from within. */
export class Watchdog {
  private readonly state = new Int32Array(new SharedArrayBuffer(8));
  private readonly worker: Worker;

  constructor(target: string, seed: number) {
    this.worker = new Worker(SOURCE, { eval: true, workerData: { state: this.state, target, seed, limit: LIMIT_MS } });
    this.worker.unref();
  }

  /** Says which input is being tried now. */
  watch(input: number): void {
    Atomics.store(this.state, 0, input);
    Atomics.add(this.state, 1, 1);
  }

  async stop(): Promise<void> {
    await this.worker.terminate();
  }
}

const SOURCE = `
  const { workerData: { state, target, seed, limit } } = require('node:worker_threads');
  const { writeSync } = require('node:fs');
  let last = -1;
  let since = Date.now();
  setInterval(() => {
    const now = Atomics.load(state, 1);
    if (now !== last) [last, since] = [now, Date.now()];
    else if (Date.now() - since > limit) {
      writeSync(2, \`\${target}: input \${Atomics.load(state, 0)} of CAIRN_TEST_SEED=\${seed} takes for ever\\n\`);
      process.kill(process.pid, 'SIGKILL');
    }
  }, 1000);
`;
