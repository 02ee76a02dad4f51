import type { ReadView, Store, Volume } from '@cairn/core';
import { reportCommit } from '../commit-report.js';
import type { Context } from '../context.js';
import { printable } from '../format.js';
import { withoutTrailingSlash } from '../place.js';
import { example, type Define } from '../program.js';
import { openView, withStore } from '../store.js';
import { planTransfer, type Source } from '../transfer-plan.js';

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL SRC… DST')
    .argument('<volume>', 'VOL, or the first SRC as VOL[@REF]:/PATH')
    .argument(
      '<paths...>',
      "what to copy (a PATH of VOL, or VOL[@REF]:/PATH), and where to: a new name, or a folder ('/' at the end makes it one)",
    )
    .option('-r, --recursive', 'copy folders and what is in them')
    .addHelpText(
      'after',
      example('cairn cp models@v1:/llama-3 models:/llama-3-before -r', 'No data is copied: both names share the stored bytes.'),
    )
    .action(act(cp));
};

async function cp(context: Context, volumeText: string, paths: string[], options: { recursive?: boolean }): Promise<void> {
  const { sources, target } = planTransfer(volumeText, paths);
  await withStore(context, async (store) => {
    const volume = await store.volumes.fromName(target.volume);
    // A destination that ends in '/' is a folder, made when it is not there.
    const destination = sources.length > 1 ? target.path.replace(/\/*$/, '/') : target.path;
    for (const source of sources) await copy(store, volume, source, destination, options.recursive === true);
    const result = await volume.commit({ signal: context.signal });
    const copied = sources.map((source) => printable(source.path)).join(', ');
    await reportCommit(context, target.volume, result, `copied ${copied} to ${printable(target.path)}`, { undo: true });
  });
}

async function copy(store: Store, volume: Volume, source: Source, destination: string, recursive: boolean): Promise<void> {
  const isHere = source.volume === volume.name && source.ref === undefined;
  const from: { from?: ReadView } = isHere ? {} : { from: (await openView(store, source)).view };
  await volume.copy(withoutTrailingSlash(source.path), destination, { recursive, ...from });
}
