import type { Context } from '../context.js';
import { printable } from '../format.js';
import { example, type Define } from '../program.js';
import { withMount } from '../store.js';

export const define: Define = (command, act) => {
  command
    .usage('[options] DIR')
    .argument('<dir>', 'a mounted folder')
    .option('--remove', 'remove the files, too; refused while something is not committed')
    .addHelpText(
      'after',
      example('cairn unmount ./work --remove', 'Without --remove the files stay, and the folder is one like any other.'),
    )
    .action(act(unmount));
};

async function unmount(context: Context, dir: string, options: { remove?: boolean }): Promise<void> {
  const removed = options.remove === true;
  const folder = await withMount(context, dir, async (mount) => {
    await mount.close({ unmount: true, removeFiles: removed });
    return mount.dir;
  });
  if (context.json) await context.output.json({ dir: folder, unmounted: true, removed });
  else if (!context.quiet) await context.output.line(`unmounted ${printable(folder)}${removed ? ', and removed its files' : ''}`);
}
