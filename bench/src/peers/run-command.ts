import { spawn } from 'node:child_process';

/** A command line of a tool, ready to run. */
export interface Command {
  /** For the report: what a reader would type, with SOURCE, REPO and TARGET for paths. */
  readonly show: string;
  readonly argv: readonly [string, ...string[]];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface CommandOptions {
  /** Called as soon as the process exists. */
  readonly onStart?: (pid: number) => void;
}

const KEPT_CHARACTERS = 2000;

/**
 * Runs a command to its end.
 * @returns milliseconds from the spawn to the exit
 * @throws Error with the tail of what the command printed, when it does not exit with 0
 */
export function runCommand(command: Command, options: CommandOptions = {}): Promise<number> {
  const [program, ...args] = command.argv;
  return new Promise((resolve, reject) => {
    let messages = '';
    const start = performance.now();
    const child = spawn(program, args, {
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(command.cwd === undefined ? {} : { cwd: command.cwd }),
      env: { ...process.env, ...command.env },
    });
    if (child.pid !== undefined) options.onStart?.(child.pid);
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        messages = (messages + text).slice(-KEPT_CHARACTERS);
      });
    }
    let elapsed = 0;
    child.once('exit', () => {
      elapsed = performance.now() - start;
    });
    child.once('error', (cause) => reject(new Error(`${program} could not be started`, { cause })));
    child.once('close', (code, signal) => {
      if (code === 0) resolve(elapsed);
      else reject(new Error(`${command.show} ended with ${signal ?? `exit code ${code}`}: ${messages.trim()}`));
    });
  });
}

/** What a command prints, or undefined when it is not there or fails. */
export function outputOf(...argv: [string, ...string[]]): Promise<string | undefined> {
  const [program, ...args] = argv;
  return new Promise((resolve) => {
    let output = '';
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
    child.once('error', () => resolve(undefined));
    child.once('close', (code) => resolve(code === 0 ? output.trim() : undefined));
  });
}
