import type { Change } from '@cairn/core';
import type { Context } from '../context.js';
import { UsageError } from '../errors.js';
import { ExitCode } from '../exit-codes.js';
import { paint, printable, size } from '../format.js';
import { parsePlace, withoutTrailingSlash, type Place } from '../place.js';
import { example, type Define } from '../program.js';
import { withVolume } from '../store.js';

const LETTERS = { added: ['A', 'green'], modified: ['M', 'yellow'], removed: ['D', 'red'] } as const;

export const define: Define = (command, act) => {
  command
    .usage('[options] A[@REF] [B[@REF]]')
    .argument('<from>', 'VOL[@REF]; with :/PATH, only what is there')
    .argument('[to]', 'VOL[@REF] (default: the newest version)')
    .option('--exit-code', 'exit with 10 when there are differences')
    .addHelpText('after', example('cairn diff models@v1 models', 'A volume alone shows what its newest version changed.'))
    .action(act(diff));
};

async function diff(context: Context, fromText: string, toText: string | undefined, options: { exitCode?: boolean }): Promise<ExitCode> {
  const { volume, from, to, folder } = plan(parsePlace(fromText), toText === undefined ? undefined : parsePlace(toText));
  let differs = false;
  await withVolume(context, volume, async (handle) => {
    for await (const change of handle.diff(from, to)) {
      context.signal.throwIfAborted();
      if (!isWithin(change.path, folder)) continue;
      differs = true;
      if (context.json) await context.output.json(change);
      else await context.output.line(line(context, change));
    }
  });
  return differs && options.exitCode === true ? ExitCode.differs : ExitCode.done;
}

function plan(a: Place, b: Place | undefined): { volume: string; from: string; to: string; folder: string | undefined } {
  if (b !== undefined && b.volume !== a.volume) {
    throw new UsageError(`${a.volume} and ${b.volume} are two volumes`, 'diff compares two versions of one volume');
  }
  if (a.path !== undefined && b?.path !== undefined && a.path !== b.path)
    throw new UsageError('two paths', 'both sides are looked at below one path');
  const folder = a.path ?? b?.path;
  const from = a.ref ?? (b === undefined ? 'HEAD~1' : 'HEAD');
  return {
    volume: a.volume,
    from,
    to: b?.ref ?? 'HEAD',
    folder: folder === undefined ? undefined : withoutTrailingSlash(folder).replace(/^\/+/, ''),
  };
}

function isWithin(path: string, folder: string | undefined): boolean {
  if (folder === undefined || folder === '') return true;
  const relative = path.replace(/^\/+/, '');
  return relative === folder || relative.startsWith(`${folder}/`);
}

/** Aligned for people; for programs, fields that are separated by tabs. */
function line(context: Context, change: Change): string {
  const [letter, colour] = LETTERS[change.type];
  const isFolder = (change.after ?? change.before)?.type === 'directory';
  if (!context.output.isTerminal) return `${letter}\t${change.path}\t${change.changedBytes}`;
  return `${paint(colour, letter)}  ${printable(change.path)}${isFolder ? '/' : `  ${paint('dim', size(change.changedBytes))}`}`;
}
