import type { GcReport } from '@cairn/core';
import type { Context } from '../context.js';
import { age, count, paint, size } from '../format.js';
import { tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { withStore } from '../store.js';

interface GcCommand {
  dryRun?: boolean;
  breakLease?: string;
}

export const define: Define = (command, act) => {
  command
    .option('-n, --dry-run', 'only print what would be freed')
    .option('--break-lease <id>', 'give up what a process protects that is known to be gone, and that gc named')
    .addHelpText(
      'after',
      example(
        'cairn prune models --keep-last 10 && cairn gc',
        'Frees what no version, open file, mount or unfinished upload needs. Others may read and write meanwhile, and Ctrl-C is safe.',
      ),
    )
    .action(act(gc));
};

async function gc(context: Context, { dryRun = false, breakLease }: GcCommand): Promise<void> {
  await withStore(context, async (store) => {
    const options = { dryRun, signal: context.signal, ...(breakLease === undefined ? {} : { breakLease }) };
    const { value: report } = await tracked(context, 'gc', (onProgress) => store.gc({ ...options, onProgress }));
    if (context.json) return context.output.json({ ...report, dryRun });
    if (!context.quiet) for (const line of describe(report, dryRun)) await context.output.line(line);
  });
}

function* describe({ packsDropped, packsRewritten, freed, live, waiting, blockedBy }: GcReport, dryRun: boolean): Generator<string> {
  const [frees, drops, rewrites] = dryRun ? ['would free', 'would drop', 'rewrite'] : ['freed', 'dropped', 'rewrote'];
  yield `${frees} ${size(Math.max(0, freed))}: ${drops} ${count(packsDropped, 'pack')}, ${rewrites} ${packsRewritten}; ${size(live)} stay`;
  if (waiting === 0) return;
  yield `${size(waiting)} more: these processes may still need it, and what they let go is freed by the next gc`;
  for (const { lease, pid, since } of blockedBy)
    yield `  ${pid === null ? 'unknown process' : `process ${pid}`}${since === null ? '' : `, since ${age(since)}`}  ${paint('dim', `--break-lease ${lease}`)}`;
}
