import type { Command } from 'commander';
import { openDefinition } from './program.js';

/** What a word can go on to, and what a shell may show beside it. */
export interface Candidate {
  value: string;
  about: string;
}

/** Arguments that name a volume say so at the beginning of their description. */
const NAMES_VOLUME = /^(VOL|the volume)\b/;

/**
 * What the last of some words, those after `cairn`, may become. Empty where a path of the local disk or of a volume is due: the
 * shell completes the former itself.
 */
export async function complete(
  program: Command,
  words: string[],
  volumes: (store: string | undefined) => Promise<string[]>,
): Promise<Candidate[]> {
  const typed = words.slice(0, -1);
  const last = words.at(-1) ?? '';
  const { command, position, awaitsValue, optionsEnded, store } = await follow(program, typed);
  const starting = (candidates: Candidate[]): Candidate[] => candidates.filter(({ value }) => value.startsWith(last));
  if (awaitsValue) return [];
  if (last.startsWith('-') && !optionsEnded) return starting(optionsOf(command));
  if (command.commands.length > 0) return starting(subcommandsOf(command));
  const argument = command.registeredArguments[Math.min(position, command.registeredArguments.length - 1)];
  if (argument === undefined || (position >= command.registeredArguments.length && !argument.variadic)) return [];
  if (argument.argChoices !== undefined) return starting(argument.argChoices.map((value) => ({ value, about: '' })));
  return NAMES_VOLUME.test(argument.description) ? starting((await volumes(store)).map((value) => ({ value, about: 'volume' }))) : [];
}

interface Followed {
  command: Command;
  /** How many arguments of the command have been typed. */
  position: number;
  /** The word before the last one is an option that takes it. */
  awaitsValue: boolean;
  optionsEnded: boolean;
  /** `--store` */
  store: string | undefined;
}

/** Goes along the words that are complete, to the command that they name. */
async function follow(program: Command, typed: string[]): Promise<Followed> {
  const at: Followed = { command: program, position: 0, awaitsValue: false, optionsEnded: false, store: undefined };
  let option = '';
  for (const word of typed) {
    if (at.awaitsValue) {
      at.awaitsValue = false;
      if (option === '--store') at.store = word;
    } else if (!at.optionsEnded && word === '--') at.optionsEnded = true;
    else if (!at.optionsEnded && /^-./.test(word)) {
      const known = at.command.options.find(({ long, short }) => word === long || word === short);
      option = known?.long ?? '';
      at.awaitsValue = known?.required === true;
      if (word.startsWith('--store=')) at.store = word.slice('--store='.length);
    } else {
      const next = at.command.commands.find((command) => command.name() === word);
      if (next === undefined) at.position++;
      else {
        await openDefinition(next);
        at.command = next;
      }
    }
  }
  return at;
}

function optionsOf(command: Command): Candidate[] {
  const help = { value: '--help', about: 'show help' };
  return [...command.options.flatMap(({ long, description }) => (long ? [{ value: long, about: description }] : [])), help];
}

function subcommandsOf(command: Command): Candidate[] {
  return command.commands.map((each) => ({ value: each.name(), about: each.description() }));
}
