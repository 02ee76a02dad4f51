import type { Metadata } from '@cairn/core';
import type { Command } from 'commander';
import { UsageError } from './errors.js';

/** What may follow a first KEY=VALUE: with a slash before the equals sign it is a path. */
const ANOTHER = /^[^-=/][^=/]*=/;

/** Gives a command `--meta KEY=VALUE…`: several in a row, or the option several times. Numbers, true and false keep their type. */
export function withMetadata(command: Command): Command {
  const parseOptions = command.parseOptions.bind(command);
  // Of its own, commander would also take arguments of the command that come after them.
  command.parseOptions = (argv) => parseOptions(oneByOne(argv));
  return command.option(
    '--meta <key=value>',
    'metadata of the version; several in a row. Numbers, true and false keep their type',
    addMetadata,
  );
}

/** `--meta a=1 b=2` as `--meta a=1 --meta b=2`. */
function oneByOne(argv: readonly string[]): string[] {
  const words: string[] = [];
  let isAmongThem = false;
  for (const [at, word] of argv.entries()) {
    if (word === '--') return [...words, ...argv.slice(at)];
    const isFirst = argv[at - 1] === '--meta';
    const isNext: boolean = isAmongThem && ANOTHER.test(word);
    isAmongThem = isFirst || isNext || word.startsWith('--meta=');
    if (isNext && !isFirst) words.push('--meta');
    words.push(word);
  }
  return words;
}

function addMetadata(text: string, others: Metadata = {}): Metadata {
  const equals = text.indexOf('=');
  if (equals < 1) throw new UsageError(`'${text}' is no metadata`, 'write --meta KEY=VALUE, such as --meta loss=0.31');
  return { ...others, [text.slice(0, equals)]: typed(text.slice(equals + 1)) };
}

function typed(value: string): string | number | boolean {
  if (value === 'true' || value === 'false') return value === 'true';
  const isNumber = /^-?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(value) && Number.isFinite(Number(value));
  return isNumber ? Number(value) : value;
}
