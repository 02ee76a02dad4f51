import type { GcReport } from '@cairn/core';
import type { Context } from '../context.js';
import { age, count, paint, printable, size } from '../format.js';
import { tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { withStore } from '../store.js';

interface GcCommand {
  dryRun?: boolean;
  breakLease?: string;
  forgetMount?: string;
}

export const define: Define = (command, act) => {
  command
    .option('-n, --dry-run', 'only print what would be freed')
    .option('--break-lease <id>', 'give up what a process protects that is known to be gone, and that gc named')
    .option(
      '--forget-mount <id>',
      'give up what a mount keeps whose folder is known to be gone, or whose state is damaged, and that gc named',
    )
    .addHelpText(
      'after',
      example(
        'cairn prune models --keep-last 10 && cairn gc',
        'Frees what no version, open file, mount or unfinished upload needs. Others may read and write meanwhile, and Ctrl-C is safe.',
      ),
    )
    .action(act(gc));
};

async function gc(context: Context, { dryRun = false, breakLease, forgetMount }: GcCommand): Promise<void> {
  await withStore(context, async (store) => {
    const byHand = { ...(breakLease === undefined ? {} : { breakLease }), ...(forgetMount === undefined ? {} : { forgetMount }) };
    const options = { dryRun, signal: context.signal, ...byHand };
    const { value: report } = await tracked(context, 'gc', (onProgress) => store.gc({ ...options, onProgress }));
    if (context.json) return context.output.json({ ...report, dryRun });
    if (!context.quiet) for (const line of describe(report, dryRun)) await context.output.line(line);
  });
}

function* describe(report: GcReport, dryRun: boolean): Generator<string> {
  const { packsDropped, packsRewritten, freed, live, waiting, held, blockedBy, lostMounts, unreadableMounts } = report;
  const [frees, drops, rewrites] = dryRun ? ['would free', 'would drop', 'rewrite'] : ['freed', 'dropped', 'rewrote'];
  yield `${frees} ${size(Math.max(0, freed))}: ${drops} ${count(packsDropped, 'pack')}, ${rewrites} ${packsRewritten}; ${size(live)} stay`;
  if (waiting > 0 && blockedBy.length > 0)
    yield `${size(waiting)} more wait: these processes may still need it, and what they let go is freed by the next gc`;
  if (held > 0)
    yield `${size(held)} ${waiting > 0 ? 'of what stays ' : ''}are of versions that were removed, and that these processes may have open`;
  for (const { lease, pid, since, holds } of blockedBy) {
    const who = `${pid === null ? 'unknown process' : `process ${pid}`}${since === null ? '' : `, since ${age(since)}`}`;
    yield `  ${who}, ${HOLDS[holds]}  ${paint('dim', `--break-lease ${lease}`)}`;
  }
  if (unreadableMounts.length > 0)
    yield `${size(waiting)} wait for ${count(unreadableMounts.length, 'mount')} whose state cannot be read; --forget-mount sets it aside, and mounting the folder again keeps all files in it`;
  for (const { mount, dir } of unreadableMounts)
    yield `  ${dir === null ? 'folder unknown' : printable(dir)}  ${paint('dim', `--forget-mount ${mount}`)}`;
  if (lostMounts.length > 0)
    yield `${count(lostMounts.length, 'mount')} kept whose folder is not there; is it gone for good, --forget-mount frees it`;
  for (const { mount, dir, volume } of lostMounts)
    yield `  ${dir}, of ${volume === null ? 'a deleted volume' : `'${volume}'`}  ${paint('dim', `--forget-mount ${mount}`)}`;
}

const HOLDS = {
  changes: 'with changes not committed',
  versions: 'with old versions open',
  both: 'with changes not committed and old versions open',
};
