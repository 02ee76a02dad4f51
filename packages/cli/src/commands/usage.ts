import type { Usage } from '@cairn/core';
import type { Context } from '../context.js';
import { paint, shortId, size } from '../format.js';
import { tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { withStore } from '../store.js';
import { printTable } from '../table.js';

export const define: Define = (command, act) => {
  command
    .addHelpText(
      'after',
      example(
        'cairn usage -v',
        'EXCLUSIVE is what nothing else needs: what deleting the volume, or with -v pruning the version, would free. Shared bytes belong to no one.',
      ),
    )
    .action(act(usage));
};

async function usage(context: Context): Promise<void> {
  await withStore(context, async (store) => {
    const { value: report } = await tracked(context, 'usage', (onProgress) => store.usage({ signal: context.signal, onProgress }));
    if (context.json) return context.output.json(report);
    const rows = rowsOf(report, context.verbose);
    if (rows.length > 0) await printTable(context.output, ['VOLUME', '>VERSIONS', '>EXCLUSIVE'], rows);
    if (!context.quiet) await context.output.line(totals(report));
  });
}

/** A row per volume; with `versions`, below it one per version, newest first. */
function rowsOf({ volumes }: Usage, versions: boolean): string[][] {
  return volumes.flatMap(({ name, exclusive, snapshots }) => [
    [name === '' ? paint('dim', '(ephemeral)') : name, String(snapshots.length), size(exclusive)],
    ...(versions ? snapshots.toReversed().map(({ id, exclusive: bytes }) => [`  ${paint('yellow', shortId(id))}`, '', size(bytes)]) : []),
  ]);
}

function totals({ logical, stored, unreachable, held, waiting }: Usage): string {
  const ratio = stored > 0 && logical > 0 ? ` (${((100 * stored) / logical).toFixed(1)} %)` : '';
  const kept = [
    ...(held > 0 ? [`${size(held)} held by versions that are open`] : []),
    ...(waiting > 0 ? [`${size(waiting)} given up by gc, in packs that wait for other processes`] : []),
  ];
  const why = kept.length === 0 ? '' : ` (${kept.join('; ')})`;
  return `${size(logical)} in all versions, ${size(stored)} on disk${ratio}, ${size(unreachable)} of it unreachable${why}`;
}
