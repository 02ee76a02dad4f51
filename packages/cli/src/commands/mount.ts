import type { MountOptions } from '@cairn/core';
import type { Context } from '../context.js';
import { UsageError } from '../errors.js';
import { count, paint, place, printable, rate, size } from '../format.js';
import { parsePlace } from '../place.js';
import { tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { withVolume } from '../store.js';

interface MountCommandOptions {
  readOnly?: boolean;
  subPath?: string;
}

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL[@REF] DIR')
    .argument('<place>', 'VOL[@REF], or VOL[@REF]:/FOLDER')
    .argument('<dir>', 'an empty or new folder, or one that is this mount already')
    .option('--read-only', 'files and folders without write bits')
    .option('--sub-path <path>', 'show this folder of the volume')
    .addHelpText(
      'after',
      example(
        'cairn mount models ./work',
        "Any program can work there. 'cairn commit ./work' stores what changed, 'cairn reload ./work' brings in what others committed.\nMounting the folder again goes on with what is in it.",
      ),
    )
    .action(act(mount));
};

async function mount(context: Context, placeText: string, dir: string, options: MountCommandOptions): Promise<void> {
  const where = parsePlace(placeText);
  if (where.path !== undefined && options.subPath !== undefined)
    throw new UsageError('two folders of the volume', 'give it once, in the place or as --sub-path');
  const subPath = where.path ?? options.subPath;
  const mountOptions: MountOptions = {
    signal: context.signal,
    ...(where.ref === undefined ? {} : { at: where.ref }),
    ...(options.readOnly === true ? { readOnly: true } : {}),
    ...(subPath === undefined ? {} : { subPath }),
  };
  const { value, progress, seconds } = await tracked(context, 'mount', (onProgress) =>
    withVolume(context, where.volume, async (volume) => {
      const mounted = await volume.mount(dir, { ...mountOptions, onProgress });
      await mounted.close();
      return { id: mounted.base?.id ?? null, dir: mounted.dir };
    }),
  );
  const { files, bytes } = progress;
  if (context.json) return context.output.json({ volume: where.volume, snapshot: value.id, dir: value.dir, files, bytes, seconds });
  if (context.quiet) return;
  const at = paint('yellow', value.id === null ? where.volume : place(where.volume, value.id));
  await context.output.line(`${at}  ${count(files, 'file')}, ${size(bytes)}, ${rate(bytes, seconds)} → ${printable(value.dir)}`);
}
