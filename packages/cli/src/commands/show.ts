import type { Context } from '../context.js';
import { UsageError } from '../errors.js';
import { age, minute, printable, size } from '../format.js';
import { parsePlace } from '../place.js';
import { example, type Define } from '../program.js';
import { withVolume } from '../store.js';
import { printFields } from '../table.js';

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL[@REF]')
    .argument('<place>', 'VOL[@REF]')
    .addHelpText('after', example('cairn show models@v1'))
    .action(act(show));
};

async function show(context: Context, placeText: string): Promise<void> {
  const where = parsePlace(placeText);
  if (where.path !== undefined) throw new UsageError('show is about a whole version', `'cairn stat ${placeText}' shows a path`);
  await withVolume(context, where.volume, async (volume) => {
    const { info } = await volume.snapshot(where.ref ?? 'HEAD');
    if (context.json) return context.output.json(info);
    const metadata = Object.entries(info.metadata).map(([key, value]) => `${key}=${value}`);
    await printFields(context.output, {
      id: info.id,
      volume: info.volume,
      parent: info.parent ?? undefined,
      version: String(info.generation),
      tags: info.tags.length > 0 ? info.tags.join(', ') : undefined,
      created: `${minute(info.createdAt)} (${age(info.createdAt)})`,
      message: info.message === '' ? undefined : printable(info.message),
      metadata: metadata.length > 0 ? printable(metadata.join(', ')) : undefined,
      files: String(info.files),
      size: size(info.size),
      'new bytes': size(info.newBytes),
    });
  });
}
