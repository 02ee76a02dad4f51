import { note, type Context } from './context.js';
import { ExitCode } from './exit-codes.js';
import { printable } from './format.js';

/** Names the files that were left out, on stderr; the exit code says whether there are any. */
export function reportLeftOut(context: Context, { busy, skipped = [] }: { busy: string[]; skipped?: string[] }): ExitCode {
  for (const path of busy) note(context, `busy, left as it was: ${printable(path)}`);
  for (const path of skipped) note(context, `cannot be stored: ${printable(path)}`);
  return busy.length > 0 ? ExitCode.busy : ExitCode.done;
}
