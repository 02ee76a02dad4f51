import type { FileEntry, ReadView } from '@cairn/core';
import type { Context } from '../context.js';
import { minute, paint, printable, size } from '../format.js';
import { onePath, parsePlace } from '../place.js';
import { example, type Define } from '../program.js';
import { openView, withStore } from '../store.js';
import { printTable } from '../table.js';

interface LsOptions {
  long?: boolean;
  recursive?: boolean;
}

/** Rows that are aligned with each other: a listing begins to appear before a huge folder has been read to its end. */
const TABLE_ROWS = 1000;

export const define: Define = (command, act) => {
  command
    .usage('[options] VOL[@REF] [PATH=/]')
    .argument('<place>', 'VOL[@REF], or VOL[@REF]:/PATH')
    .argument('[path]', 'a folder or file (default: /)')
    .option('-l, --long', 'the table with exact sizes, also when piped')
    .option('-R, --recursive', 'everything below, too')
    .addHelpText('after', example('cairn ls models@v1 /llama-3 -R', 'A table on a terminal; when piped, bare paths, one a line.'))
    .action(act(ls));
};

async function ls(context: Context, placeText: string, pathArgument: string | undefined, options: LsOptions): Promise<void> {
  const where = parsePlace(placeText);
  const path = onePath(where, pathArgument, '/');
  await withStore(context, async (store) => {
    const { view } = await openView(store, where);
    const entries = list(context, view, path, options.recursive === true);
    if (context.json) for await (const entry of entries) await context.output.json(entry);
    else if (options.long === true || context.output.isTerminal) await printEntries(context, entries, options.long === true);
    else for await (const entry of entries) await context.output.line(entry.path);
  });
}

/** A file lists itself, as for `ls`. */
async function* list(context: Context, view: ReadView, path: string, recursive: boolean): AsyncGenerator<FileEntry> {
  const single = /^\/*$/.test(path) ? undefined : await view.stat(path);
  if (single !== undefined && single.type !== 'directory') {
    yield single;
    return;
  }
  for await (const entry of view.iterdir(path, { recursive })) {
    context.signal.throwIfAborted();
    yield entry;
  }
}

async function printEntries(context: Context, entries: AsyncIterable<FileEntry>, long: boolean): Promise<void> {
  const headings = ['TYPE', '>SIZE', 'MODIFIED', 'PATH'];
  let rows: string[][] = [];
  let shown = 0;
  const print = async (): Promise<void> => {
    if (rows.length > 0) await printTable(context.output, shown === 0 ? headings : [], rows);
    shown += rows.length;
    rows = [];
  };
  for await (const entry of entries) {
    rows.push(row(entry, long));
    if (rows.length === TABLE_ROWS) await print();
  }
  await print();
}

function row(entry: FileEntry, long: boolean): string[] {
  const type = { file: entry.executable ? 'exec' : 'file', directory: 'dir', symlink: 'link' }[entry.type];
  const bytes = entry.type === 'directory' ? '-' : long ? String(entry.size) : size(entry.size);
  return [type, bytes, minute(new Date(entry.mtimeMs)), name(entry)];
}

function name({ path, type, symlinkTarget }: FileEntry): string {
  const shown = printable(path);
  if (type === 'directory') return paint('blue', `${shown}/`);
  return type === 'symlink' ? `${paint('cyan', shown)} → ${printable(symlinkTarget ?? '?')}` : shown;
}
