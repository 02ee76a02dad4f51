import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

/** How a child ended. */
export interface Ending {
  code: number | null;
  signal: NodeJS.Signals | null;
  stderr: string;
}

/**
 * A real process that runs one of the scripts beside this file. It gets its input as JSON in its first argument, and says
 * what it has done in lines of JSON, each written before it goes on: what was said has happened, whenever it is killed.
 */
export class Child {
  /** Everything said so far. */
  readonly said: Saying[] = [];
  readonly ended: Promise<Ending>;
  private readonly process: ChildProcess;
  private rest = '';
  private listeners: (() => void)[] = [];
  private isOver = false;

  /** @param shell commands for `sh` before the script starts, such as a `ulimit`. */
  static start(script: string, input: object, shell = ''): Child {
    const path = fileURLToPath(new URL(script, import.meta.url));
    return new Child(
      spawn('sh', ['-c', `${shell}\nexec "$0" "$@"`, process.execPath, path, JSON.stringify(input)], { stdio: ['pipe', 'pipe', 'pipe'] }),
    );
  }

  private constructor(process: ChildProcess) {
    this.process = process;
    let stderr = '';
    process.stderr!.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    process.stdout!.setEncoding('utf8').on('data', (text: string) => this.hear(text));
    process.stdin!.on('error', () => {});
    this.ended = new Promise((resolve) => {
      process.on('close', (code, signal) => {
        this.isOver = true;
        this.wake();
        resolve({ code, signal, stderr });
      });
    });
    onTestFinished(() => this.kill());
  }

  /** Ends the process by SIGKILL, and waits until it is gone. */
  async kill(): Promise<void> {
    this.process.kill('SIGKILL');
    await this.ended;
  }

  /** Sends a line of JSON to a script that takes orders. */
  tell(order: object): void {
    this.process.stdin!.write(`${JSON.stringify(order)}\n`);
  }

  /** Asks a script that runs until told otherwise to come to its end. */
  stop(): void {
    this.process.stdin!.end();
  }

  /** The first thing said from `from` on that `wanted` takes; undefined when the child ends without it. */
  async hears(wanted: (saying: Saying) => boolean, from = 0): Promise<Saying | undefined> {
    for (let at = from; ;) {
      for (; at < this.said.length; at++) if (wanted(this.said[at]!)) return this.said[at];
      if (this.isOver) return undefined;
      await new Promise<void>((resolve) => this.listeners.push(resolve));
    }
  }

  /** Waits for the end. @throws with what the child wrote to stderr, unless it exits with 0. */
  async succeeds(): Promise<Saying[]> {
    const { code, signal, stderr } = await this.ended;
    if (code !== 0) throw new Error(`the child ended with ${code ?? signal}: ${stderr}`);
    return this.said;
  }

  private hear(text: string): void {
    const lines = (this.rest + text).split('\n');
    this.rest = lines.pop()!;
    this.said.push(...lines.map((line) => JSON.parse(line) as Saying));
    this.wake();
  }

  private wake(): void {
    for (const resume of this.listeners.splice(0)) resume();
  }
}

/** One line of a child. */
export type Saying = Record<string, unknown> & { say: string };
