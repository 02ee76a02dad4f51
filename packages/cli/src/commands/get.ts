import { lstat, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Progress, ReadView } from '@cairn/core';
import type { Context } from '../context.js';
import { CommandError } from '../errors.js';
import { count, paint, place, printable, rate, size } from '../format.js';
import { onePath, parsePlace } from '../place.js';
import { tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { openView, withStore } from '../store.js';
import { writeBytes } from '../write-bytes.js';

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL[@REF] REMOTE [LOCAL=.|-]')
    .argument('<place>', 'VOL[@REF], or VOL[@REF]:/REMOTE')
    .argument('[paths...]', 'REMOTE, and where to: a folder, a new name, or - for standard output')
    .option('-f, --force', 'replace local files that are there')
    .addHelpText(
      'after',
      example('cairn get models@HEAD~1 /llama-3/model.safetensors ./before.safetensors', 'Every byte is verified on its way.'),
    )
    .action(act(get));
};

async function get(context: Context, placeText: string, paths: string[], options: { force?: boolean }): Promise<void> {
  const where = parsePlace(placeText);
  const inPlace = where.path !== undefined;
  const remote = onePath(where, inPlace ? undefined : paths[0]);
  const [local = '.', extra] = inPlace ? paths : paths.slice(1);
  if (extra !== undefined)
    throw new CommandError(
      'CAIRN_INVALID_ARGUMENT',
      `too many paths: '${extra}'`,
      "get takes one REMOTE and one LOCAL; see 'cairn get --help'",
    );
  await withStore(context, async (store) => {
    const { view, id } = await openView(store, where);
    if (local === '-') return writeBytes(context, view, remote);
    const copies = await planCopies(view, remote, local, options.force === true);
    const { progress, seconds } = await tracked(context, 'get', (onProgress) =>
      copyAll(context, view, copies, options.force === true, onProgress),
    );
    const target = copies.length === 1 ? copies[0]!.local : local;
    const { files, bytes } = progress;
    if (context.json)
      return context.output.json({ volume: where.volume, snapshot: id, path: remote, local: target, files, bytes, seconds });
    if (context.quiet) return;
    const from = id === null ? where.volume : place(where.volume, id);
    await context.output.line(
      `${paint('yellow', from)}  ${count(files, 'file')}, ${size(bytes)}, ${rate(bytes, seconds)} → ${printable(target)}`,
    );
  });
}

interface Copy {
  remote: string;
  local: string;
}

/** As `cp -r`: into LOCAL when that is a folder, else under the name LOCAL. The root has no name, so its entries go into the folder. */
async function planCopies(view: ReadView, remote: string, local: string, force: boolean): Promise<Copy[]> {
  const isFolder = await stat(local).then(
    (found) => found.isDirectory(),
    () => local.endsWith('/'),
  );
  if (!isFolder) return [{ remote, local }];
  if (!/^\/*$/.test(remote)) return [{ remote, local: join(local, basename(remote)) }];
  const copies = (await view.listdir('/')).map(({ path }) => ({ remote: path, local: join(local, basename(path)) }));
  // Looked at before the first is copied, so that a refusal leaves the folder as it was.
  if (!force) for (const copy of copies) await refuseExisting(copy.local);
  return copies;
}

async function refuseExisting(local: string): Promise<void> {
  const exists = await lstat(local).then(
    () => true,
    () => false,
  );
  if (exists) throw new CommandError('EEXIST', `file exists already: '${local}'`, 'add -f to replace it, or get into another folder');
}

async function copyAll(
  context: Context,
  view: ReadView,
  copies: Copy[],
  force: boolean,
  onProgress: (progress: Progress) => void,
): Promise<void> {
  const done = { bytes: 0, files: 0 };
  for (const { remote, local } of copies) {
    let last = { bytes: 0, files: 0 };
    await view.copyToLocal(remote, local, {
      signal: context.signal,
      force,
      onProgress: ({ totalBytes, ...progress }) => {
        last = progress;
        const total = totalBytes === undefined || copies.length > 1 ? {} : { totalBytes };
        onProgress({ ...progress, ...total, bytes: done.bytes + progress.bytes, files: done.files + progress.files });
      },
    });
    done.bytes += last.bytes;
    done.files += last.files;
  }
}
