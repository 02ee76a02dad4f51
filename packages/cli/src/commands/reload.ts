import { reportLeftOut } from '../busy-files.js';
import { note, type Context } from '../context.js';
import type { ExitCode } from '../exit-codes.js';
import { count, printable } from '../format.js';
import { tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { withMount } from '../store.js';

export const define: Define = (command, act) => {
  command
    .usage('[options] DIR')
    .argument('<dir>', 'a mounted folder, or a folder in one')
    .option(
      '--fail-on-conflict',
      'touch nothing when a path was changed both here and by another commit; without it, it stays as it is here',
    )
    .addHelpText(
      'after',
      example('cairn reload ./work', 'What is not committed here stays. Programs that have a file open go on reading the old one.'),
    )
    .action(act(reload));
};

async function reload(context: Context, dir: string, options: { failOnConflict?: boolean }): Promise<ExitCode> {
  const onConflict = options.failOnConflict === true ? 'fail' : 'keep-local';
  const { value: result } = await tracked(context, 'reload', (onProgress) =>
    withMount(context, dir, (mount) => mount.reload({ signal: context.signal, onProgress, onConflict })),
  );
  if (context.json) await context.output.json(result);
  else if (!context.quiet) await context.output.line(`updated ${count(result.updated, 'file')}`);
  for (const path of result.conflicts) note(context, `changed here and by another commit, kept as it is here: ${printable(path)}`);
  return reportLeftOut(context, result);
}
