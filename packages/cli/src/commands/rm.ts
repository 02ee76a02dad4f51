import { reportCommit } from '../commit-report.js';
import type { Context } from '../context.js';
import { UsageError } from '../errors.js';
import { count } from '../format.js';
import { parseTarget, withoutTrailingSlash } from '../place.js';
import { example, type Define } from '../program.js';
import { withVolume } from '../store.js';

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL PATH…')
    .argument('<volume>', 'VOL, or VOL:/PATH')
    .argument('[paths...]', 'files; folders with -r')
    .option('-r, --recursive', 'remove folders and what is in them')
    .addHelpText(
      'after',
      example('cairn rm models /llama-2 -r', 'Older versions keep what is removed; the command that brings it back is printed.'),
    )
    .action(act(rm));
};

async function rm(context: Context, volumeText: string, pathArguments: string[], options: { recursive?: boolean }): Promise<void> {
  const { volume, path } = parseTarget(volumeText);
  const paths = [...(path === undefined ? [] : [path]), ...pathArguments].map(withoutTrailingSlash);
  if (paths.length === 0) throw new UsageError('no path given', `name what to remove: cairn rm ${volume} PATH…`);
  await withVolume(context, volume, async (handle) => {
    for (const each of paths) await handle.remove(each, { recursive: options.recursive === true });
    const result = await handle.commit({ signal: context.signal });
    await reportCommit(context, volume, result, `removed ${count(result.removed, 'file')}`, { undo: true });
  });
}
