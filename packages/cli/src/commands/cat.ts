import type { Context } from '../context.js';
import { onePath, parsePlace } from '../place.js';
import { example, type Define } from '../program.js';
import { openView, withStore } from '../store.js';
import { writeBytes } from '../write-bytes.js';

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL[@REF] PATH')
    .argument('<place>', 'VOL[@REF], or VOL[@REF]:/PATH')
    .argument('[path]', 'the file')
    .addHelpText('after', example('cairn cat models@v1:/llama-3/config.json', 'Always the bytes as they are, also with --json.'))
    .action(act(cat));
};

async function cat(context: Context, placeText: string, pathArgument: string | undefined): Promise<void> {
  const where = parsePlace(placeText);
  const path = onePath(where, pathArgument);
  await withStore(context, async (store) => {
    const { view } = await openView(store, where);
    await writeBytes(context, view, path);
  });
}
