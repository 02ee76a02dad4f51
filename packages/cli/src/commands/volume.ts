import type { VolumeInfo } from '@cairn/core';
import { commandLine } from '../commit-report.js';
import { confirm } from '../confirm.js';
import type { Context } from '../context.js';
import { UsageError } from '../errors.js';
import { age, count, minute, paint, place, shortId, size } from '../format.js';
import { parsePlace } from '../place.js';
import { addFileCommands, addGlobalOptions, example, type Define } from '../program.js';
import { withStore } from '../store.js';
import { printFields, printTable } from '../table.js';

export const define: Define = (volume, act) => {
  volume
    .usage('COMMAND …')
    .helpCommand(false)
    .addHelpText('after', example('cairn volume create models', "Everything that 'modal volume' calls by a name works by that name here."));
  const group = 'Volumes:';
  const add = (name: string): typeof volume => {
    const command = volume.command(name).helpGroup(group);
    addGlobalOptions(command, true);
    return command;
  };
  add('create')
    .description('make an empty volume, and the store too where there is none')
    .argument('<name>', 'letters, digits, . _ - and 64 at most')
    .option('--allow-existing', 'succeed when there is one already')
    .addHelpText(
      'after',
      example('cairn volume create models', 'Without --store, CAIRN_STORE or a .cairn above, the store is made at ./.cairn.'),
    )
    .action(act(create));
  add('list').description('list the volumes').addHelpText('after', example('cairn volume list --json')).action(act(list));
  add('info')
    .description('show one volume')
    .argument('<name>', 'the volume')
    .addHelpText('after', example('cairn volume info models'))
    .action(act(info));
  add('rename')
    .description('give a volume another name; its history stays')
    .argument('<from>', 'the volume')
    .argument('<to>', 'its new name')
    .addHelpText('after', example('cairn volume rename models llama'))
    .action(act(rename));
  add('fork')
    .description('make a volume that begins with the history of another; no data is copied')
    .argument('<source>', 'VOL[@REF]: up to this version')
    .argument('<name>', 'the new volume')
    .addHelpText('after', example('cairn volume fork models@v1 experiment'))
    .action(act(fork));
  add('delete')
    .description('delete a volume and its history')
    .argument('<name>', 'the volume')
    .option('-y, --yes', 'do not ask')
    .option('--allow-missing', 'succeed when there is none')
    .addHelpText('after', example('cairn volume delete experiment --yes'))
    .action(act(remove));
  addFileCommands(volume, act);
};

async function create(context: Context, name: string, options: { allowExisting?: boolean }): Promise<void> {
  await withStore(
    context,
    async (store) => {
      let created = true;
      try {
        await store.volumes.create(name);
      } catch (error) {
        const exists = error instanceof Error && 'code' in error && error.code === 'CAIRN_VOLUME_EXISTS';
        if (!exists || options.allowExisting !== true) throw error;
        created = false;
      }
      const { dir } = store.info();
      if (context.json) await context.output.json({ name, store: dir, created });
      else if (!context.quiet) await context.output.line(created ? `created ${name} in ${dir}` : `${name} is in ${dir} already`);
    },
    { create: true },
  );
}

async function list(context: Context): Promise<void> {
  await withStore(context, async (store) => {
    const volumes = await store.volumes.list();
    if (context.json) for (const volume of volumes) await context.output.json(volume);
    else if (volumes.length > 0) await printTable(context.output, ['NAME', 'HEAD', 'AGE', '>FILES', '>SIZE'], volumes.map(row));
  });
}

function row({ name, head, createdAt, updatedAt, files, size: bytes }: VolumeInfo): string[] {
  const id = head === null ? '-' : paint('yellow', shortId(head));
  return files === null || bytes === null
    ? [name, id, updatedAt === null ? '-' : age(updatedAt), DAMAGED, '-']
    : [name, id, age(updatedAt ?? createdAt), String(files), size(bytes)];
}

const DAMAGED = paint('red', 'damaged');

async function info(context: Context, name: string): Promise<void> {
  await withStore(context, async (store) => {
    const volume = await store.volumes.info(name);
    if (context.json) return context.output.json(volume);
    await printFields(context.output, {
      name: volume.name,
      head: volume.head ?? 'nothing committed yet',
      versions: String(volume.generation),
      created: `${minute(volume.createdAt)} (${age(volume.createdAt)})`,
      updated: volume.updatedAt === null ? undefined : `${minute(volume.updatedAt)} (${age(volume.updatedAt)})`,
      files: volume.files === null ? DAMAGED : String(volume.files),
      size: volume.size === null ? undefined : size(volume.size),
    });
  });
}

async function rename(context: Context, from: string, to: string): Promise<void> {
  await withStore(context, async (store) => {
    await store.volumes.rename(from, to);
    const undo = commandLine(context, 'volume', 'rename', to, from);
    if (context.json) return context.output.json({ from, to, undo });
    if (context.quiet) return;
    await context.output.line(`renamed ${from} to ${to}`);
    await context.output.line(`undo: ${undo}`);
  });
}

async function fork(context: Context, source: string, name: string): Promise<void> {
  const { volume, ref, path } = parsePlace(source);
  if (path !== undefined)
    throw new UsageError('a fork takes the whole tree', `write VOL[@REF]; 'cairn cp' copies single paths into another volume`);
  await withStore(context, async (store) => {
    await store.volumes.fork(volume, name, ref === undefined ? {} : { at: ref });
    const made = await store.volumes.info(name);
    if (context.json) return context.output.json(made);
    if (context.quiet) return;
    const at = made.head === null ? 'empty' : place(name, made.head);
    const about = made.files === null || made.size === null ? DAMAGED : `${count(made.files, 'file')}, ${size(made.size)}`;
    await context.output.line(`forked ${source} to ${name}: ${at}, ${about}`);
  });
}

async function remove(context: Context, name: string, options: { yes?: boolean; allowMissing?: boolean }): Promise<void> {
  await withStore(context, async (store) => {
    if (options.yes !== true) {
      const answer = await confirm(context, `Delete the volume ${name} and all its versions?`);
      if (answer === undefined)
        throw new UsageError(`deleting ${name} has to be confirmed`, 'add --yes (-y), since there is no terminal to ask at');
      if (!answer) return context.output.line(`kept ${name}`);
    }
    await store.volumes.delete(name, { allowMissing: options.allowMissing === true });
    if (context.json) await context.output.json({ name, deleted: true });
    else if (!context.quiet) await context.output.line(`deleted ${name}`);
  });
}
