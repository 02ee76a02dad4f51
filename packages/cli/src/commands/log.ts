import type { SnapshotInfo } from '@cairn/core';
import type { Context } from '../context.js';
import { UsageError } from '../errors.js';
import { age, paint, printable, shortId, size } from '../format.js';
import { onePath, parsePlace } from '../place.js';
import { example, type Define } from '../program.js';
import { withVolume } from '../store.js';

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL[@REF] [PATH]')
    .argument('<place>', 'VOL[@REF], or VOL[@REF]:/PATH; with REF, from that version back')
    .argument('[path]', 'only versions that changed what is at this path')
    .option('-n, --max-count <number>', 'show at most so many', parseCount)
    .addHelpText('after', example('cairn log models /llama-3 -n 10'))
    .action(act(log));
};

async function log(context: Context, placeText: string, pathArgument: string | undefined, options: { maxCount?: number }): Promise<void> {
  const where = parsePlace(placeText);
  const path = where.path ?? pathArgument;
  const limit = options.maxCount ?? Infinity;
  await withVolume(context, where.volume, async (volume) => {
    const about = {
      changes: true,
      ...(path === undefined ? {} : { path: onePath(where, pathArgument) }),
      ...(where.ref === undefined ? {} : { from: where.ref }),
    };
    let shown = 0;
    if (limit === 0) return;
    for await (const info of volume.history(about)) {
      context.signal.throwIfAborted();
      if (context.json) await context.output.json(info);
      else {
        if (shown === 0) await context.output.line(heading());
        await context.output.line(line(info));
      }
      if (++shown >= limit) break;
    }
  });
}

/** Fixed widths, the message last: a long history appears as it is read. */
const WIDTHS = { id: 12, age: 14, changed: 12, bytes: 9 };

function heading(): string {
  const { id, age: ageWidth, changed, bytes } = WIDTHS;
  return paint(
    'bold',
    `${'VERSION'.padEnd(id)}  ${'AGE'.padEnd(ageWidth)}  ${'CHANGED'.padEnd(changed)}  ${'NEW'.padStart(bytes)}  MESSAGE`,
  );
}

function line(info: SnapshotInfo): string {
  const id = paint('yellow', shortId(info.id));
  const figures = `${age(info.createdAt).padEnd(WIDTHS.age)}  ${changed(info).padEnd(WIDTHS.changed)}  ${size(info.newBytes).padStart(WIDTHS.bytes)}`;
  const tags = info.tags.length > 0 ? [paint('green', `(${info.tags.join(', ')})`)] : [];
  return `${id}  ${figures}  ${[...tags, printable(info.message)].join(' ')}`.trimEnd();
}

/** Files added, modified and removed. */
function changed({ changes }: SnapshotInfo): string {
  if (changes === undefined) return '?';
  const { added, modified, removed } = changes;
  const parts = [added > 0 ? `+${added}` : '', modified > 0 ? `~${modified}` : '', removed > 0 ? `-${removed}` : ''];
  return parts.filter((part) => part !== '').join(' ') || '-';
}

function parseCount(text: string): number {
  if (!/^\d+$/.test(text)) throw new UsageError(`'${text}' is not a number of versions`, 'write -n 10');
  return Number(text);
}
