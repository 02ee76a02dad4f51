import type { SnapshotInfo, Volume } from '@cairn/core';
import { commandLine } from '../commit-report.js';
import type { Context } from '../context.js';
import { UsageError } from '../errors.js';
import { age, paint, place, printable, shortId } from '../format.js';
import { parsePlace } from '../place.js';
import { example, type Define } from '../program.js';
import { withVolume } from '../store.js';
import { printTable } from '../table.js';

interface TagOptions {
  force?: boolean;
  delete?: boolean;
}

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL [NAME [REF]]')
    .argument('<volume>', 'VOL, or VOL@REF')
    .argument('[name]', 'the tag; without it, all tags are listed')
    .argument('[ref]', 'the version to name (default: the newest)')
    .option('-f, --force', 'move the tag when it names another version')
    .option('-d, --delete', 'remove the tag; the version stays')
    .addHelpText('after', example('cairn tag models v1'))
    .action(act(tag));
};

async function tag(
  context: Context,
  volumeText: string,
  name: string | undefined,
  refArgument: string | undefined,
  options: TagOptions,
): Promise<void> {
  const where = parsePlace(volumeText);
  if (where.path !== undefined) throw new UsageError('tags name whole versions', `leave out the path: ${where.volume}`);
  if (where.ref !== undefined && refArgument !== undefined) throw new UsageError('two refs', `give either ${volumeText} or ${refArgument}`);
  const ref = where.ref ?? refArgument;
  if (name === undefined && (ref !== undefined || options.delete === true))
    throw new UsageError('no tag given', `cairn tag ${volumeText} NAME`);
  if (options.delete === true && ref !== undefined)
    throw new UsageError('a tag is removed by its name alone', `cairn tag ${where.volume} ${name} --delete`);
  await withVolume(context, where.volume, async (volume) => {
    if (name === undefined) return listTags(context, where.volume, volume);
    const previous = (await volume.tags()).find((each) => each.name === name)?.snapshot;
    if (options.delete === true) {
      await volume.untag(name);
      return report(context, where.volume, { name, id: null, previous });
    }
    const { id } = (await volume.snapshot(ref ?? 'HEAD')).info;
    await volume.tag(name, id, { force: options.force === true });
    return report(context, where.volume, { name, id, previous });
  });
}

async function listTags(context: Context, volumeName: string, volume: Volume): Promise<void> {
  const rows: string[][] = [];
  for (const { name, snapshot } of await volume.tags()) {
    context.signal.throwIfAborted();
    const info = await infoOf(volume, snapshot);
    const { createdAt = null, message = null } = info ?? {};
    if (context.json) await context.output.json({ name, volume: volumeName, snapshot, createdAt, message });
    else {
      const about = info === undefined ? ['-', paint('red', 'damaged')] : [age(info.createdAt), printable(info.message)];
      rows.push([paint('green', name), paint('yellow', shortId(snapshot)), ...about]);
    }
  }
  if (rows.length > 0) await printTable(context.output, ['TAG', 'VERSION', 'AGE', 'MESSAGE'], rows);
}

/** Undefined when the snapshot is damaged, which hides no other tag. */
async function infoOf(volume: Volume, id: string): Promise<SnapshotInfo | undefined> {
  try {
    return (await volume.snapshot(id)).info;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'CAIRN_DAMAGED') return undefined;
    throw error;
  }
}

/** `id` is what the tag names now, `previous` what it named before. */
async function report(
  context: Context,
  volume: string,
  { name, id, previous }: { name: string; id: string | null; previous: string | undefined },
): Promise<void> {
  const undo = undoWords(volume, name, id, previous);
  const line = undo === undefined ? undefined : commandLine(context, ...undo);
  if (context.json)
    return context.output.json({ volume, name, snapshot: id, previous: previous ?? null, ...(line === undefined ? {} : { undo: line }) });
  if (context.quiet) return;
  await context.output.line(
    `${paint('yellow', place(volume, id ?? previous ?? ''))}  ${id === null ? `is no longer ${name}` : `is ${name}`}`,
  );
  if (line !== undefined) await context.output.line(`undo: ${line}`);
}

function undoWords(volume: string, name: string, id: string | null, previous: string | undefined): string[] | undefined {
  if (id === previous) return undefined;
  if (previous === undefined) return ['tag', volume, name, '--delete'];
  return id === null ? ['tag', volume, name, shortId(previous)] : ['tag', volume, name, shortId(previous), '--force'];
}
