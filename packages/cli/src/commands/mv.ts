import { basename } from 'node:path';
import type { Volume } from '@cairn/core';
import { reportCommit } from '../commit-report.js';
import type { Context } from '../context.js';
import { printable } from '../format.js';
import { planTransfer } from '../transfer-plan.js';
import { example, type Define } from '../program.js';
import { UsageError } from '../errors.js';
import { withoutTrailingSlash } from '../place.js';
import { withVolume } from '../store.js';

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL SRC… DST')
    .argument('<volume>', 'VOL')
    .argument('<paths...>', "what to move, and where to: a new name, or a folder ('/' at the end makes it one)")
    .addHelpText('after', example('cairn mv models /llama-3 /archive/'))
    .action(act(mv));
};

async function mv(context: Context, volumeText: string, paths: string[]): Promise<void> {
  const { sources, target } = planTransfer(volumeText, paths);
  const { volume, path: destination } = target;
  const foreign = sources.find((source) => source.volume !== volume || source.ref !== undefined);
  if (foreign !== undefined) {
    throw new UsageError(
      `'${foreign.path}' is not in ${volume} as it is now`,
      "moving stays within one volume; 'cairn cp' copies from others and from versions",
    );
  }
  await withVolume(context, volume, async (handle) => {
    const into = sources.length > 1 || (await isFolder(handle, destination));
    if (into) await handle.mkdir(withoutTrailingSlash(destination));
    for (const { path } of sources) {
      const from = withoutTrailingSlash(path);
      await handle.rename(from, into ? `${destination.replace(/\/+$/, '')}/${basename(from)}` : destination);
    }
    const result = await handle.commit({ signal: context.signal });
    await reportCommit(
      context,
      volume,
      result,
      `moved ${sources.map((source) => printable(source.path)).join(', ')} to ${printable(destination)}`,
      { undo: true },
    );
  });
}

async function isFolder(volume: Volume, path: string): Promise<boolean> {
  if (path.endsWith('/')) return true;
  return (await volume.exists(path)) && (await volume.stat(path)).type === 'directory';
}
