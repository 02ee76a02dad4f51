import type { Context } from '../context.js';
import { count, printable, size } from '../format.js';
import { onePath, parsePlace } from '../place.js';
import { example, type Define } from '../program.js';
import { openView, withStore } from '../store.js';
import { printTable } from '../table.js';

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL[@REF] PATH')
    .argument('<place>', 'VOL[@REF], or VOL[@REF]:/PATH')
    .argument('[path]', 'a .safetensors or .gguf file, or the .index.json of a sharded model')
    .addHelpText('after', example('cairn tensors models@v1 /llama-3/model.safetensors'))
    .action(act(tensors));
};

async function tensors(context: Context, placeText: string, pathArgument: string | undefined): Promise<void> {
  const where = parsePlace(placeText);
  const path = onePath(where, pathArgument);
  await withStore(context, async (store) => {
    const { view } = await openView(store, where);
    const found = await view.tensors(path);
    if (context.json) {
      for (const tensor of found) await context.output.json(tensor);
      return;
    }
    const rows = found.map(({ name, dtype, shape, size: bytes }) => [
      printable(name),
      printable(dtype),
      `[${shape.join(', ')}]`,
      String(bytes),
    ]);
    if (rows.length > 0) await printTable(context.output, ['NAME', 'DTYPE', 'SHAPE', '>BYTES'], rows);
    if (context.quiet) return;
    const total = found.reduce((sum, tensor) => sum + tensor.size, 0);
    await context.output.line(`${count(found.length, 'tensor')}, ${size(total)}`);
  });
}
