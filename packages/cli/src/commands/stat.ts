import type { ChunkInfo, ReadView } from '@cairn/core';
import type { Context } from '../context.js';
import { age, minute, printable, size } from '../format.js';
import { onePath, parsePlace } from '../place.js';
import { example, type Define } from '../program.js';
import { openView, withStore } from '../store.js';
import { printFields } from '../table.js';

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL[@REF] PATH')
    .argument('<place>', 'VOL[@REF], or VOL[@REF]:/PATH')
    .argument('[path]', 'the file, folder or link')
    .option('--chunks', 'also how its bytes are cut and kept')
    .addHelpText('after', example('cairn stat models /llama-3/model.safetensors --chunks --json'))
    .action(act(stat));
};

async function stat(context: Context, placeText: string, pathArgument: string | undefined, options: { chunks?: boolean }): Promise<void> {
  const where = parsePlace(placeText);
  const path = onePath(where, pathArgument);
  await withStore(context, async (store) => {
    const { view } = await openView(store, where);
    const entry = await view.stat(path);
    const chunks = options.chunks === true ? await collectChunks(context, view, path) : undefined;
    if (context.json) return context.output.json({ ...entry, ...(chunks === undefined ? {} : { chunks }) });
    const modified = new Date(entry.mtimeMs);
    await printFields(context.output, {
      path: printable(entry.path),
      type: entry.executable ? `${entry.type}, executable` : entry.type,
      target: entry.symlinkTarget === undefined ? undefined : printable(entry.symlinkTarget),
      size: entry.type === 'directory' ? undefined : `${size(entry.size)} (${entry.size} bytes)`,
      modified: `${minute(modified)} (${age(modified)})`,
      content: entry.contentId,
      ...(chunks === undefined ? {} : totals(chunks)),
    });
    if (chunks !== undefined) await printChunks(context, chunks);
  });
}

async function collectChunks(context: Context, view: ReadView, path: string): Promise<ChunkInfo[]> {
  const chunks: ChunkInfo[] = [];
  for await (const chunk of view.chunks(path)) {
    context.signal.throwIfAborted();
    chunks.push(chunk);
  }
  return chunks;
}

function totals(chunks: ChunkInfo[]): Record<string, string> {
  const stored = chunks.reduce((sum, chunk) => sum + chunk.storedLength, 0);
  return { chunks: String(chunks.length), stored: `${size(stored)} (${stored} bytes)` };
}

/** Columns of fixed width: a large file has many thousands of chunks. */
async function printChunks(context: Context, chunks: ChunkInfo[]): Promise<void> {
  const { output } = context;
  await output.line(`\n${'OFFSET'.padStart(15)} ${'LENGTH'.padStart(10)} ${'STORED'.padStart(10)}  ${'ENCODING'.padEnd(8)}  DIGEST`);
  for (const { offset, length, storedLength, encoding, digest } of chunks) {
    await output.line(
      `${String(offset).padStart(15)} ${String(length).padStart(10)} ${String(storedLength).padStart(10)}  ${encoding.padEnd(8)}  ${digest}`,
    );
  }
}
