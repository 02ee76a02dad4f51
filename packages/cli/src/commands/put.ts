import { stat } from 'node:fs/promises';
import { addAbortSignal } from 'node:stream';
import type { Batch, CommitOptions, CommitResult, Metadata } from '@cairn/core';
import { reportCommit } from '../commit-report.js';
import type { Context } from '../context.js';
import { count, size } from '../format.js';
import { withMetadata } from '../metadata-option.js';
import { tracked } from '../progress.js';
import { STDIN, planPut, type Upload } from '../put-plan.js';
import { example, type Define } from '../program.js';
import { collect } from '../repeatable.js';
import { withVolume } from '../store.js';

interface PutOptions {
  targetDirectory?: string;
  force?: boolean;
  message?: string;
  meta?: Metadata;
  exclude?: string[];
}

export const define: Define = (command, act) => {
  withMetadata(command)
    .usage('[options] VOL LOCAL|- [REMOTE=/]\n       cairn put [options] VOL -t DIR LOCAL…')
    .argument('<volume>', 'VOL, or VOL:/REMOTE')
    .argument(
      '<paths...>',
      "a local file, a folder, or - for standard input; then where to: a REMOTE that ends in '/' takes the name of LOCAL",
    )
    .option('-t, --target-directory <dir>', 'put several files and folders into this folder of the volume')
    .option('-f, --force', 'replace what is there; without it, an existing path is an error')
    .option('-m, --message <text>', 'a message for the history')
    .option('--exclude <pattern>', 'leave out what matches, with gitignore rules; repeatable', collect)
    .addHelpText(
      'after',
      example(
        "cairn put models ./llama-3 / -m 'step 1000' --meta loss=0.31",
        'One version for all of it, visible when all of it is stored. Run again after an interruption, it stores only what is missing.\n' +
          'Files named .cairnignore say what is left out of their folder, as .gitignore does; --exclude wins over them.',
      ),
    )
    .action(act(put));
};

async function put(context: Context, volumeText: string, paths: string[], options: PutOptions): Promise<void> {
  const { volume, uploads } = planPut(volumeText, paths, options.targetDirectory);
  const { value: result, seconds } = await tracked(context, 'put', (onProgress) => {
    const commit: CommitOptions & { force?: boolean } = { signal: context.signal, onProgress, force: options.force === true };
    if (options.message !== undefined) commit.message = options.message;
    if (options.meta !== undefined) commit.metadata = options.meta;
    return withVolume(context, volume, (handle) =>
      handle.batchUpload(async (batch) => {
        for (const upload of uploads) await send(batch, upload, options.exclude, context.signal);
      }, commit),
    );
  });
  await reportCommit(context, volume, result, summary(result, seconds), { undo: false });
}

async function send(batch: Batch, { local, remote }: Upload, ignore: string[] | undefined, signal: AbortSignal): Promise<void> {
  if (local === STDIN) return batch.putFile({ data: addAbortSignal(signal, process.stdin) }, remote);
  // What is missing is an error of the library, with its hint.
  const isFolder = await stat(local).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return isFolder ? batch.putDirectory(local, remote, ignore === undefined ? {} : { ignore }) : batch.putFile(local, remote);
}

function summary({ added, modified, bytes }: CommitResult, seconds: number): string {
  return `${count(added + modified, 'file')}, ${size(bytes.logical)}, ${size(bytes.new)} new, ${seconds.toFixed(1)} s`;
}
