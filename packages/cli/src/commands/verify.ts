import type { VerifyReport } from '@cairn/core';
import type { Context } from '../context.js';
import { describeDamage } from '../damage-report.js';
import { ExitCode } from '../exit-codes.js';
import { count, paint, size } from '../format.js';
import { tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { withStore } from '../store.js';

export const define: Define = (command, act) => {
  command
    .option('--read-data', 'also read every stored byte and check its digest')
    .addHelpText('after', example('cairn verify --read-data', 'Exits with 6 when something is damaged, and says what it touches.'))
    .action(act(verify));
};

async function verify(context: Context, options: { readData?: boolean }): Promise<ExitCode> {
  return withStore(context, async (store) => {
    const readData = options.readData === true;
    const { value: report, seconds } = await tracked(context, 'verify', (onProgress) =>
      store.verify({ readData, signal: context.signal, onProgress }),
    );
    if (context.json) await context.output.json(report);
    else await print(context, report, readData, seconds);
    return report.ok ? ExitCode.done : ExitCode.damage;
  });
}

async function print(
  context: Context,
  { ok, packs, strayPacks, chunks, bytes, damage }: VerifyReport,
  readData: boolean,
  seconds: number,
): Promise<void> {
  for (const each of damage) for (const line of describeDamage(each)) await context.output.line(line);
  if (context.quiet) return;
  const strays = strayPacks > 0 ? `${count(strayPacks, 'pack')} of work under way or cut short, ` : '';
  const totals = `${count(packs, 'pack')}, ${strays}${count(chunks, 'chunk')}, ${readData ? `${size(bytes)} read, ` : ''}${seconds.toFixed(1)} s`;
  await context.output.line(`${totals}: ${ok ? paint('green', 'no damage') : paint('red', `${count(damage.length, 'damaged object')}`)}`);
}
