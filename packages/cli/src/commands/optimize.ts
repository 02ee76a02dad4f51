import type { OptimizeReport } from '@cairn/core';
import type { Context } from '../context.js';
import { count, size } from '../format.js';
import { tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { withStore } from '../store.js';

export const define: Define = (command, act) => {
  command
    .option('-n, --dry-run', 'only print what would change')
    .addHelpText(
      'after',
      example(
        'cairn optimize',
        'Brings small packs together, and scattered ones in the order in which files are read, and frees what gc would free. No version, digest or id changes. Others may work meanwhile, and Ctrl-C is safe.',
      ),
    )
    .action(act(optimize));
};

async function optimize(context: Context, { dryRun = false }: { dryRun?: boolean }): Promise<void> {
  await withStore(context, async (store) => {
    const { value: report } = await tracked(context, 'optimize', (onProgress) =>
      store.optimize({ dryRun, signal: context.signal, onProgress }),
    );
    if (context.json) return context.output.json({ ...report, dryRun });
    if (!context.quiet) await context.output.line(describe(report, dryRun));
  });
}

function describe({ packsBefore, packsAfter, storedBefore, storedAfter }: OptimizeReport, dryRun: boolean): string {
  const packs = `${count(packsBefore, 'pack')} of ${size(storedBefore)}`;
  return `${packs} ${dryRun ? 'would become' : 'became'} ${packsAfter} of ${size(storedAfter)}`;
}
