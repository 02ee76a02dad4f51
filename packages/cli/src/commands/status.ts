import type { MountStatus } from '@cairn/core';
import { note, type Context } from '../context.js';
import { count, paint, place, printable } from '../format.js';
import { example, type Define } from '../program.js';
import { withMount } from '../store.js';

const LETTERS = { added: ['A', 'green'], modified: ['M', 'yellow'], removed: ['D', 'red'] } as const;

export const define: Define = (command, act) => {
  command
    .usage('[options] DIR')
    .argument('<dir>', 'a mounted folder, or a folder in one')
    .addHelpText('after', example('cairn status ./work', 'A added, M modified, D removed since the last commit or reload.'))
    .action(act(status));
};

async function status(context: Context, dir: string): Promise<void> {
  const found = await withMount(context, dir, (mount) => mount.status({ signal: context.signal }));
  if (context.json) return context.output.json(asDocument(found));
  note(context, summary(found));
  for (const [kind, [letter, colour]] of Object.entries(LETTERS) as [keyof typeof LETTERS, (typeof LETTERS)['added']][]) {
    for (const path of found[kind]) {
      const busy = found.busy.includes(path) ? paint('dim', '  being written') : '';
      await context.output.line(context.output.isTerminal ? `${paint(colour, letter)}  ${printable(path)}${busy}` : `${letter}\t${path}`);
    }
  }
}

function summary({ base, behind, ownerPid, lastError }: MountStatus): string {
  const at = base === null ? 'nothing committed yet' : place(base.volume, base.id);
  const news = behind === 0 ? 'the newest version' : `${count(behind, 'newer version')}, for 'cairn reload' to bring in`;
  const owner = ownerPid === null ? '' : `, owned by process ${ownerPid}`;
  return `${at}, ${news}${owner}${lastError === undefined ? '' : `\nthe last commit in the background failed: ${lastError.message}`}`;
}

/** Errors are not JSON. */
function asDocument({ lastError, ...rest }: MountStatus): object {
  if (lastError === undefined) return rest;
  const { code, message, hint } = lastError;
  return { ...rest, lastError: { code, message, hint } };
}
