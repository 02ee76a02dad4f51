import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { onTestFinished } from 'vitest';

const EXAMPLES = fileURLToPath(new URL('../../examples/', import.meta.url));

/** The compiled entry of an example. */
export function entryOf(example: string): string {
  return join(EXAMPLES, example, 'dist', 'main.js');
}

/** Runs an example to its end; what it printed. @throws Error with all of its output when it fails */
export async function runExample(example: string, ...args: string[]): Promise<string> {
  const child = startExample(example, ...args);
  let [out, err] = ['', ''];
  child.stdout!.on('data', (text) => (out += String(text)));
  child.stderr!.on('data', (text) => (err += String(text)));
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (code !== 0) throw new Error(`${example} ended with ${String(code)}:\n${out}${err}`);
  return out;
}

export function startExample(example: string, ...args: string[]): ChildProcess {
  const child = spawn(process.execPath, [entryOf(example), ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}
