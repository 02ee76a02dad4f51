import type { Mount, MountOptions, SnapshotInfo } from '@cairn/core';
import { note, type Context } from '../context.js';
import { UsageError } from '../errors.js';
import { count, paint, place, printable, rate, size } from '../format.js';
import { parsePlace } from '../place.js';
import { tracked, type Tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { collect } from '../repeatable.js';
import { withVolume } from '../store.js';

interface MountCommandOptions {
  readOnly?: boolean;
  subPath?: string;
  follow?: boolean;
  exclude?: string[];
}

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL[@REF] DIR')
    .argument('<place>', 'VOL[@REF], or VOL[@REF]:/FOLDER')
    .argument('<dir>', 'an empty or new folder, or one that is this mount already')
    .option('--read-only', 'files and folders without write bits')
    .option('--sub-path <path>', 'show this folder of the volume')
    .option('--exclude <pattern>', 'what matches belongs to nobody: not stored, not removed; with gitignore rules, repeatable', collect)
    .option('--follow', 'stay: commit what changes here, and bring in what others commit, until Ctrl-C')
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
    ...(options.exclude === undefined ? {} : { ignore: options.exclude }),
    ...(subPath === undefined ? {} : { subPath }),
    ...(options.follow === true ? { autoReload: true, backgroundCommit: options.readOnly !== true } : {}),
  };
  await withVolume(context, where.volume, async (volume) => {
    const made = await tracked(context, 'mount', (onProgress) => volume.mount(dir, { ...mountOptions, onProgress }));
    try {
      await report(context, where.volume, made);
      if (options.follow === true) await follow(context, made.value);
    } finally {
      await made.value.close();
    }
  });
}

async function report(context: Context, volume: string, { value: mounted, progress, seconds }: Tracked<Mount>): Promise<void> {
  const { files, bytes } = progress;
  const id = mounted.base?.id ?? null;
  if (context.json) return context.output.json({ volume, snapshot: id, dir: mounted.dir, files, bytes, seconds });
  if (context.quiet) return;
  const at = paint('yellow', id === null ? volume : place(volume, id));
  await context.output.line(`${at}  ${count(files, 'file')}, ${size(bytes)}, ${rate(bytes, seconds)} → ${printable(mounted.dir)}`);
}

/** Tells what comes and goes, until the person has had enough. The last commit is made when the mount is closed. */
async function follow(context: Context, mounted: Mount): Promise<void> {
  const tell = (what: string, version: SnapshotInfo): void => note(context, `${what} ${place(version.volume, version.id)}`);
  mounted.on('commit', ({ snapshot }) => tell('committed', snapshot));
  mounted.on('reload', (version) => tell('now at', version));
  mounted.on('commitFailed', (error) => note(context, `cairn: a commit failed, and is tried again: ${error.message}`));
  // What was said so far is not to wait for the end.
  await context.output.flush();
  const awake = setInterval(() => undefined, 60_000);
  try {
    await new Promise((_resolve, reject) => {
      context.signal.throwIfAborted();
      context.signal.addEventListener('abort', () => reject(context.signal.reason as Error), { once: true });
    });
  } finally {
    clearInterval(awake);
  }
}
