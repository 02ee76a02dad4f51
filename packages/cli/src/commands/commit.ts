import type { CommitOptions, Metadata } from '@cairn/core';
import { reportLeftOut } from '../busy-files.js';
import { reportCommit } from '../commit-report.js';
import type { Context } from '../context.js';
import type { ExitCode } from '../exit-codes.js';
import { size } from '../format.js';
import { withMetadata } from '../metadata-option.js';
import { tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { withMount } from '../store.js';

interface CommitCommandOptions {
  message?: string;
  meta?: Metadata;
}

export const define: Define = (command, act) => {
  withMetadata(command)
    .usage('[options] DIR')
    .argument('<dir>', 'a mounted folder, or a folder in one')
    .option('-m, --message <text>', 'a message for the history')
    .addHelpText(
      'after',
      example(
        "cairn commit ./work -m 'step 1000' --meta step=1000 loss=0.31",
        'Files that somebody is still writing are left out and named; the command then exits with 9.',
      ),
    )
    .action(act(commit));
};

async function commit(context: Context, dir: string, options: CommitCommandOptions): Promise<ExitCode> {
  const { value: result } = await tracked(context, 'commit', (onProgress) => {
    const commitOptions: CommitOptions = { signal: context.signal, onProgress };
    if (options.message !== undefined) commitOptions.message = options.message;
    if (options.meta !== undefined) commitOptions.metadata = options.meta;
    return withMount(context, dir, (mount) => mount.commit(commitOptions));
  });
  const { snapshot, added, modified, removed, bytes } = result;
  const done = `${added} added, ${modified} modified, ${removed} removed, ${size(bytes.new)} new`;
  await reportCommit(context, snapshot.volume, result, done, { undo: false });
  return reportLeftOut(context, result);
}
