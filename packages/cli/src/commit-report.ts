import type { CommitResult } from '@cairn/core';
import { note, type Context } from './context.js';
import { paint, place, printable, shellWord } from './format.js';

/** A command line that takes back what was just done, in the same store. */
export function commandLine(context: Context, ...words: string[]): string {
  const store = context.storeOption === undefined ? [] : ['--store', context.storeOption];
  return ['cairn', ...store, ...words].map(shellWord).join(' ');
}

/** `VOL@id` and what was done; with `undo`, the command that takes it back. A first commit has nothing before it to go back to. */
export async function reportCommit(
  context: Context,
  volume: string,
  result: CommitResult,
  done: string,
  options: { undo: boolean },
): Promise<void> {
  const { snapshot, changed, overwritten } = result;
  const undo =
    options.undo && changed && snapshot.parent !== null ? commandLine(context, 'rollback', place(volume, snapshot.parent)) : undefined;
  if (context.json) return context.output.json({ volume, ...result, ...(undo === undefined ? {} : { undo }) });
  if (context.quiet) return;
  const at = paint('yellow', place(volume, snapshot.id));
  await context.output.line(changed ? `${at}  ${done}` : `${at}  nothing changed`);
  for (const path of overwritten)
    note(context, `replaced what another commit had just put at ${printable(path)}; that version is in history`);
  if (undo !== undefined) await context.output.line(`undo: ${undo}`);
}
