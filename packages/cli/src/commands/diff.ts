import type { Change, TensorChange } from '@cairn/core';
import type { Context } from '../context.js';
import { UsageError } from '../errors.js';
import { ExitCode } from '../exit-codes.js';
import { count, paint, printable, size } from '../format.js';
import { parsePlace, type Place } from '../place.js';
import { example, type Define } from '../program.js';
import { withStore } from '../store.js';

const LETTERS = { added: ['A', 'green'], modified: ['M', 'yellow'], removed: ['D', 'red'] } as const;

export const define: Define = (command, act) => {
  command
    .usage('[options] A[@REF] [B[@REF]]')
    .argument('<from>', 'VOL[@REF]; with :/PATH, only what is there')
    .argument('[to]', 'VOL[@REF] (default: the newest version)')
    .option('--tensors', 'of weights also which tensors differ, and how much')
    .option('--exit-code', 'exit with 10 when there are differences')
    .addHelpText('after', example('cairn diff models@v1 models', 'A volume alone shows what its newest version changed.'))
    .action(act(diff));
};

interface DiffOptions {
  tensors?: boolean;
  exitCode?: boolean;
}

async function diff(context: Context, fromText: string, toText: string | undefined, options: DiffOptions): Promise<ExitCode> {
  const { from, to, folder } = plan(parsePlace(fromText), toText === undefined ? undefined : parsePlace(toText));
  let differs = false;
  await withStore(context, async (store) => {
    const [volume, other] = await Promise.all([from, to].map(({ volume: name }) => store.volumes.fromName(name, { readOnly: true })));
    const [before, after] = await Promise.all([volume!.snapshot(from.ref), other!.snapshot(to.ref)]);
    for await (const change of volume!.diff(before, after, { tensors: options.tensors === true })) {
      context.signal.throwIfAborted();
      if (!isWithin(change.path, folder)) continue;
      differs = true;
      if (context.json) await context.output.json(change);
      else {
        await context.output.line(line(context, change));
        for (const tensor of change.tensors ?? []) await context.output.line(tensorLine(context, change.path, tensor));
      }
    }
  });
  return differs && options.exitCode === true ? ExitCode.differs : ExitCode.done;
}

interface Side {
  volume: string;
  ref: string;
}

/** One volume alone is compared with its version before; `folder` limits both sides, without slashes around it. */
function plan(a: Place, b: Place | undefined): { from: Side; to: Side; folder: string } {
  if (a.path !== undefined && b?.path !== undefined && a.path !== b.path) {
    throw new UsageError('two paths', 'both sides are looked at below one path');
  }
  return {
    from: { volume: a.volume, ref: a.ref ?? (b === undefined ? 'HEAD~1' : 'HEAD') },
    to: { volume: b?.volume ?? a.volume, ref: b?.ref ?? 'HEAD' },
    folder: (a.path ?? b?.path ?? '').replace(/^\/+|\/+$/g, ''),
  };
}

function isWithin(path: string, folder: string): boolean {
  return folder === '' || path === folder || path.startsWith(`${folder}/`);
}

/** Aligned for people; for programs, fields that are separated by tabs. */
function line(context: Context, change: Change): string {
  const [letter, colour] = LETTERS[change.type];
  const isFolder = (change.after ?? change.before)?.type === 'directory';
  if (!context.output.isTerminal) return `${letter}\t${change.path}\t${change.changedBytes}`;
  return `${paint(colour, letter)}  ${printable(change.path)}${isFolder ? '/' : `  ${paint('dim', size(change.changedBytes))}`}`;
}

/** Below the line of its file; for programs with the path before it, so that each line stands for itself. */
function tensorLine(context: Context, path: string, { type, name, changedBlocks, blocks, changedBytes }: TensorChange): string {
  const [letter, colour] = LETTERS[type];
  if (!context.output.isTerminal) return `${letter}\t${path}\t${changedBytes}\t${name}\t${changedBlocks}\t${blocks}`;
  const share = type === 'modified' ? `${changedBlocks} of ${count(blocks, 'block')}, ` : '';
  return `   ${paint(colour, letter)}  ${printable(name)}  ${paint('dim', share + size(changedBytes))}`;
}
