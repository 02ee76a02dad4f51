import { reportCommit } from '../commit-report.js';
import { confirm } from '../confirm.js';
import type { Context } from '../context.js';
import { UsageError } from '../errors.js';
import { age, place, printable } from '../format.js';
import { parsePlace } from '../place.js';
import { example, type Define } from '../program.js';
import { withVolume } from '../store.js';

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL@REF')
    .argument('<place>', 'VOL@REF')
    .option('-y, --yes', 'do not ask, on a terminal')
    .addHelpText(
      'after',
      example(
        'cairn rollback models@HEAD~1',
        'History only grows: the old version comes back as the newest one, and rolling back can be rolled back.',
      ),
    )
    .action(act(rollback));
};

async function rollback(context: Context, placeText: string, options: { yes?: boolean }): Promise<void> {
  const { volume, ref, path } = parsePlace(placeText);
  if (ref === undefined)
    throw new UsageError('roll back to what?', `name a version: cairn rollback ${volume}@HEAD~1; 'cairn log ${volume}' lists them`);
  if (path !== undefined)
    throw new UsageError('rollback brings a whole version back', `for one path: cairn cp ${placeText} ${volume}:${path}`);
  await withVolume(context, volume, async (handle) => {
    const { info } = await handle.snapshot(ref);
    if (options.yes !== true) {
      const about = `${place(volume, info.id)}, ${age(info.createdAt)}${info.message === '' ? '' : `, "${printable(info.message)}"`}`;
      // Without a terminal it goes ahead: unlike a deletion, this can be undone.
      if ((await confirm(context, `Bring back ${about}?`)) === false) return context.output.line(`left ${volume} as it is`);
    }
    const result = await handle.rollback(info.id, { signal: context.signal });
    await reportCommit(context, volume, result, `has the files of ${place(volume, info.id)} again`, { undo: true });
  });
}
