import type { JournalRepair, RepairReport } from '@cairn/core';
import type { Context } from '../context.js';
import { describeDamage } from '../damage-report.js';
import { ExitCode } from '../exit-codes.js';
import { count, paint, size } from '../format.js';
import { tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { collect } from '../repeatable.js';
import { locateStore } from '../store.js';

interface RepairCommand {
  from?: string[];
  dryRun?: boolean;
}

export const define: Define = (command, act) => {
  command
    .option('--from <source>', 'a file, folder or other store that may have good copies of what is damaged; repeatable', collect)
    .option('-n, --dry-run', 'read everything, say what is damaged and what would be set aside, and change nothing; goes without --from')
    .addHelpText(
      'after',
      example(
        'cairn repair --from ./downloads --from /backup/models',
        'Makes the index anew from packs and journal. What is damaged goes to quarantine/ in the store and is never deleted. Exits with 6 when something is left damaged.',
      ),
    )
    .action(act(repair));
};

async function repair(context: Context, { from = [], dryRun = false }: RepairCommand): Promise<ExitCode> {
  const dir = locateStore(context);
  const { repairStore } = await import('@cairn/core');
  const { value: report, seconds } = await tracked(context, 'repair', (onProgress) =>
    repairStore(dir, { sources: from, dryRun, signal: context.signal, onProgress }),
  );
  if (context.json) await context.output.json(report);
  else await print(context, report, dryRun, seconds);
  return report.ok ? ExitCode.done : ExitCode.damage;
}

async function print(
  context: Context,
  { ok, packs, bytes, damage, healed, quarantined, journal }: RepairReport,
  dryRun: boolean,
  seconds: number,
): Promise<void> {
  for (const each of damage) for (const line of describeDamage(each)) await context.output.line(line);
  if (context.quiet) return;
  for (const name of quarantined) await context.output.line(`${dryRun ? 'would set aside' : 'set aside'} ${name}`);
  for (const line of describeJournal(journal)) await context.output.line(line);
  const totals = `${count(packs, 'pack')}, ${size(bytes)} read, ${dryRun ? '' : `${count(healed, 'object')} brought back, `}${seconds.toFixed(1)} s`;
  const left = dryRun ? 'damaged' : 'left damaged';
  await context.output.line(
    `${totals}: ${ok ? paint('green', 'the store is whole') : paint('red', `${count(damage.length, 'object')} ${left}`)}`,
  );
}

/** Versions that are named one by one. */
const SHOWN = 20;

/** What was found out of changes that the journal does not tell. */
function describeJournal({ missing, fromIndex, fromPacks, unknown, unplaced }: JournalRepair): string[] {
  if (missing === 0) return [];
  const found = `${fromIndex} told by the old index, ${count(fromPacks.length, 'version')} found in packs, ${unknown} unknown`;
  return [
    `${count(missing, 'change')} missing in the ref journal: ${found}`,
    ...fromPacks.map(({ volume, snapshot }) => `found ${volume}@${snapshot}`),
    ...unplaced.slice(0, SHOWN).map(({ volume, snapshot }) => `in no history, and may have been in one: ${snapshot} of ${volume}`),
    ...(unplaced.length > SHOWN ? [`and ${unplaced.length - SHOWN} more: see --json`] : []),
  ];
}
