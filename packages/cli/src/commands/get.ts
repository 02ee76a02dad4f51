import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { Context } from '../context.js';
import { UsageError } from '../errors.js';
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
  if (extra !== undefined) throw new UsageError(`too many paths: '${extra}'`, "get takes one REMOTE and one LOCAL; see 'cairn get --help'");
  await withStore(context, async (store) => {
    const { view, id } = await openView(store, where);
    if (local === '-') return writeBytes(context, view, remote);
    const target = await localTarget(remote, local);
    const work = { signal: context.signal, force: options.force === true };
    const { progress, seconds } = await tracked(context, 'get', (onProgress) => view.copyToLocal(remote, target, { ...work, onProgress }));
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

/** As `cp -r`: into LOCAL when that is a folder, else under the name LOCAL. The root has no name, so what is in it goes into the folder. */
async function localTarget(remote: string, local: string): Promise<string> {
  const isFolder = await stat(local).then(
    (found) => found.isDirectory(),
    () => local.endsWith('/'),
  );
  return isFolder ? join(local, basename(remote)) : local;
}
