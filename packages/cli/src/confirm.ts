import { createInterface } from 'node:readline/promises';
import type { Context } from './context.js';

/** Asks the person at the terminal; undefined when there is none to ask. */
export async function confirm(context: Context, question: string): Promise<boolean | undefined> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return undefined;
  const prompt = createInterface({ input: process.stdin, output: process.stderr });
  // A terminal in raw mode gives Ctrl-C to the prompt instead of to the process.
  prompt.on('SIGINT', () => process.kill(process.pid, 'SIGINT'));
  try {
    return /^y(es)?$/i.test((await prompt.question(`${question} [y/N] `, { signal: context.signal })).trim());
  } finally {
    prompt.close();
  }
}
