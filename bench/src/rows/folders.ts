import { runCommand } from '../peers/run-command.js';

/** @throws Error naming the first difference, when two folders do not hold the same files with the same bytes. */
export async function sameFolders(a: string, b: string): Promise<void> {
  await runCommand({ show: 'diff -r SOURCE TARGET', argv: ['diff', '-rq', '--no-dereference', a, b] });
}
