import type { PrunePolicy, PruneReport, Volume } from '@cairn/core';
import { confirm } from '../confirm.js';
import type { Context } from '../context.js';
import { UsageError } from '../errors.js';
import { age, count, paint, printable, shortId, size } from '../format.js';
import { parsePlace } from '../place.js';
import { tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { withVolume } from '../store.js';
import { printTable } from '../table.js';

interface PruneOptions extends PrunePolicy {
  keepWithin?: number;
  dryRun?: boolean;
  yes?: boolean;
}

const UNIT_MS: Record<string, number> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 7 * 86_400_000 };

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL')
    .argument('<volume>', 'VOL')
    .option('--keep-last <n>', 'keep the newest n versions', parseCount)
    .option('--keep-every <n>', 'keep every n-th version, by its number', parseCount)
    .option('--keep-within <time>', 'keep what is younger, such as 90m, 12h, 7d or 4w', parseTime)
    .option('--keep-best <rule>', 'KEY:min or KEY:max, with :COUNT for several: keep the best by their metadata', parseBest)
    .option('-n, --dry-run', 'only print what would be removed')
    .option('-y, --yes', 'do not ask')
    .addHelpText(
      'after',
      example(
        'cairn prune models --keep-last 10 --keep-best loss:min:3',
        'What any rule keeps stays, and so do the newest version and all that are tagged. The data goes with the next cairn gc.',
      ),
    )
    .action(act(prune));
};

async function prune(context: Context, volumeText: string, options: PruneOptions): Promise<void> {
  const { volume: name, ref, path } = parsePlace(volumeText);
  if (ref !== undefined || path !== undefined)
    throw new UsageError('prune is about the history of a volume', `name the volume alone: ${name}`);
  await withVolume(context, name, async (volume) => {
    const policy = policyOf(options);
    const run = async (dryRun: boolean): Promise<PruneReport> =>
      (await tracked(context, 'prune', (onProgress) => volume.prune(policy, { dryRun, signal: context.signal, onProgress }))).value;
    if (options.dryRun !== true && options.yes !== true && !(await isConfirmed(context, volume, () => run(true)))) return;
    await report(context, name, await run(options.dryRun === true), options.dryRun === true);
  });
}

async function isConfirmed(context: Context, volume: Volume, plan: () => Promise<PruneReport>): Promise<boolean> {
  const { removed, freed } = await plan();
  if (removed.length === 0) return true;
  const answer = await confirm(context, `Remove ${count(removed.length, 'version')} of ${volume.name}, and free ${size(freed)}?`);
  if (answer === undefined)
    throw new UsageError(
      `pruning ${volume.name} has to be confirmed`,
      'add --yes (-y), since there is no terminal to ask at; -n shows what it would do',
    );
  if (!answer) await context.output.line(`left ${volume.name} as it is`);
  return answer;
}

async function report(context: Context, volume: string, { removed, kept, freed }: PruneReport, dryRun: boolean): Promise<void> {
  if (context.json) return context.output.json({ volume, removed, kept, freed, dryRun });
  if (context.quiet) return;
  const rows = removed.map(({ id, createdAt, message }) => [paint('yellow', shortId(id)), age(createdAt), printable(message)]);
  if (rows.length > 0) await printTable(context.output, ['VERSION', 'AGE', 'MESSAGE'], rows);
  const [did, frees] = dryRun ? ['would remove', 'would free'] : ['removed', 'freed'];
  await context.output.line(`${did} ${count(removed.length, 'version')}, kept ${kept}; ${frees} ${size(freed)}`);
}

function policyOf({ keepLast, keepEvery, keepWithin, keepBest }: PruneOptions): PrunePolicy {
  return {
    ...(keepLast === undefined ? {} : { keepLast }),
    ...(keepEvery === undefined ? {} : { keepEvery }),
    ...(keepWithin === undefined ? {} : { keepWithinMs: keepWithin }),
    ...(keepBest === undefined ? {} : { keepBest }),
  };
}

function parseCount(text: string): number {
  if (!/^[1-9]\d*$/.test(text)) throw new UsageError(`'${text}' is not a number of versions`, 'write --keep-last 10');
  return Number(text);
}

function parseTime(text: string): number {
  const [, amount, unit = ''] = /^(\d+)([smhdw])$/.exec(text) ?? [];
  if (amount === undefined)
    throw new UsageError(`'${text}' is no length of time`, 'write --keep-within 7d; the units are s, m, h, d and w');
  return Number(amount) * UNIT_MS[unit]!;
}

/** The key may hold colons itself. */
function parseBest(text: string): NonNullable<PrunePolicy['keepBest']> {
  const [, metadata, order, times] = /^(.+):(min|max)(?::([1-9]\d*))?$/.exec(text) ?? [];
  if (metadata === undefined)
    throw new UsageError(`'${text}' does not say what is best`, 'write --keep-best loss:min, or accuracy:max:3 for the best three');
  return { metadata, order: order as 'min' | 'max', ...(times === undefined ? {} : { count: Number(times) }) };
}
