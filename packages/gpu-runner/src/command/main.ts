import { isCairnError } from '@cairn/core';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { version } from '../version.js';
import { listModels, loadModel, printMetrics } from './client-commands.js';
import { exitCodeFor } from './exit-codes.js';
import { runCommand } from './run.js';
import { serve } from './serve.js';

/** The command `cairn-gpu`. Returns the exit code, having printed everything; throws nothing. */
export async function main(argv: string[]): Promise<number> {
  let exitCode = 0;
  try {
    await program((code) => (exitCode = code)).parseAsync(argv, { from: 'user' });
    return exitCode;
  } catch (error) {
    // Commander has printed its own.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
    if (!isCairnError(error)) throw error;
    process.stderr.write(`cairn-gpu: ${error.message}\n  hint: ${error.hint}\n`);
    return exitCodeFor(error.code);
  }
}

function program(exit: (code: number) => void): Command {
  const root = new Command('cairn-gpu')
    .description('Weights from a Cairn store into inference processes: loaded once, shared, known by content.')
    .version(version)
    .enablePositionalOptions()
    .exitOverride();
  root
    .command('serve')
    .description('serve models to processes of this user, over a Unix socket')
    .option('--store <dir>', 'the store (default: CAIRN_STORE, else the nearest .cairn upward)')
    .option('--socket <path>', 'where to listen (default: CAIRN_GPU_SOCKET, else one of this user)')
    .option('--device <id>', "where models go: 'host', or a GPU as 'cuda:0'", 'host')
    .option('--budget <bytes>', 'the most memory for models; K, M, G, T are powers of 1024', bytes)
    .option('--metrics-port <port>', 'serve Prometheus metrics on 127.0.0.1; 0: any port that is free', whole(0, 65_535))
    .option('--preload <place...>', 'models to load at once')
    .action(serve);
  const model = (name: string, description: string): Command =>
    root
      .command(name)
      .description(description)
      .argument('<place>', 'VOLUME[@REF]:/PATH of a file, a folder or a shard index')
      .option('--socket <path>', 'the daemon')
      .option('--include <pattern...>', 'only tensors whose names match')
      .option('--tensors', 'pack the tensors into few regions instead of whole files');
  model('load', 'have the daemon load a model, and print where it is (JSON)')
    .option('--hold', 'keep it until this command is ended')
    .action(loadModel);
  root.command('list').description('list the models of the daemon (JSON)').option('--socket <path>', 'the daemon').action(listModels);
  root.command('metrics').description('print the metrics of the daemon').option('--socket <path>', 'the daemon').action(printMetrics);
  model('run', 'run a command that inherits a model; {} in its arguments is the path of the first file')
    .argument('<command...>', 'after --')
    .option('--store <dir>', 'load it here when no daemon listens')
    .option('-n, --processes <count>', 'how many of it', whole(1, 1000), 1)
    .addOption(
      new Option('--restart <when>', 'start it again when it ended').choices(['always', 'on-failure', 'never']).default('on-failure'),
    )
    .option('--grace <seconds>', 'between the request to end and the end', seconds, 10)
    .action(async (place: string, words: string[], options: Parameters<typeof runCommand>[2]) =>
      exit(await runCommand(place, words, options)),
    );
  return root;
}

function whole(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) throw new InvalidArgumentError(`give a number from ${least} to ${most}`);
    return value;
  };
}

function seconds(text: string): number {
  // What a timer can wait.
  if (!/^\d+(\.\d+)?$/.test(text) || Number(text) > 2_000_000) throw new InvalidArgumentError('give a number of seconds');
  return Number(text);
}

function bytes(text: string): number {
  const found = /^(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?$/i.exec(text);
  if (found === null) throw new InvalidArgumentError('give a number of bytes, such as 8G');
  return Math.floor(Number(found[1]) * 1024 ** ' KMGT'.indexOf(found[2]!.toUpperCase() || ' '));
}
