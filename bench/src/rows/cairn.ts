import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { mkdir, readFile, rm } from 'node:fs/promises';
import type { Context } from '../context.js';
import { settle, warm } from '../measure/conditions.js';
import type { Contestant } from '../measure/rounds.js';
import type { Dataset } from '../datasets/dataset.js';
import { runCommand } from '../peers/run-command.js';
import type { Command } from '../peers/run-command.js';
import type { Subject } from '../subject/client.js';
import { sameFolders } from './folders.js';

const MIB = 2 ** 20;

/** Cairn in a process, with a store of its own below `dir`. */
export interface InProcess {
  readonly context: Context;
  readonly subject: Subject;
  readonly name: string;
  readonly dir: string;
  readonly workers: number;
  readonly compression?: 'none' | 'fast' | 'max';
}

/** Opens an empty store whose workers have already stored something, as in a program that has been running for a while. */
export async function openFreshStore({ context, subject, dir, workers, compression }: InProcess): Promise<void> {
  await subject.call('closeStore', dir);
  await rm(dir, { recursive: true, force: true });
  await subject.call('openStore', dir, { workers, ...(compression === undefined ? {} : { compression }) });
  const warmUp = await context.library.weights('bf16', context.flags.quick ? 6 * MIB : 64 * MIB, 1);
  await subject.call('storeFolder', dir, warmUp.dir, 'warm-up');
}

/** First store of a folder into an empty store. */
export function firstStore(cairn: InProcess, data: Dataset): Contestant {
  return {
    name: cairn.name,
    ours: true,
    async prepare() {
      await openFreshStore(cairn);
      await warm(data.dir);
      await settle(dirname(cairn.dir), data.bytes);
    },
    run: () => cairn.subject.call('storeFolder', cairn.dir, data.dir),
  };
}

/** Store of a folder that the store holds already. Needs {@link openFreshStore} and a first store before. */
export function storeAgain(cairn: InProcess, data: Dataset): Contestant {
  return {
    name: cairn.name,
    ours: true,
    async prepare() {
      await warm(data.dir);
      await settle(dirname(cairn.dir), 0);
    },
    run: () => cairn.subject.call('storeFolder', cairn.dir, data.dir),
  };
}

/** Restore of a folder from an open store, packs in the page cache. */
export function restore(cairn: InProcess, data: Dataset): Contestant {
  const target = join(dirname(cairn.dir), 'restored');
  return {
    name: cairn.name,
    ours: true,
    async prepare() {
      await emptyFolder(target);
      await warm(cairn.dir);
      await settle(dirname(cairn.dir), data.bytes);
    },
    run: () => cairn.subject.call('restoreFolder', cairn.dir, target),
    check: (round) => checkFirst(round, data.dir, target),
  };
}

/** The command as a user starts it, without the shell wrapper that package managers put before it. */
export async function cairnCommand(...args: string[]): Promise<Command> {
  const manifestPath = createRequire(import.meta.url).resolve('@cairn/cli/package.json');
  const manifest = JSON.parse(await readFile(manifestPath, 'utf8')) as { bin: { cairn: string } };
  return { show: ['cairn', ...args].join(' '), argv: [process.execPath, join(dirname(manifestPath), manifest.bin.cairn), ...args] };
}

/** `cairn volume create`, then the measured `cairn put` of a folder into an empty store. */
export function firstStoreByCommand(name: string, dir: string, data: Dataset): Contestant {
  return {
    name,
    ours: true,
    command: 'cairn --store REPO put models SOURCE',
    async prepare() {
      await rm(dir, { recursive: true, force: true });
      await mkdir(dirname(dir), { recursive: true });
      await runCommand(await cairnCommand('--store', dir, 'volume', 'create', 'models'));
      await warm(data.dir);
      await settle(dirname(dir), data.bytes);
    },
    run: async () => runCommand(await cairnCommand('--store', dir, '-q', 'put', 'models', data.dir, '/')),
  };
}

export async function emptyFolder(dir: string): Promise<void> {
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
}

/** Compares a restored folder with its source in the first round; later rounds would only repeat it. */
export async function checkFirst(round: number, source: string, target: string): Promise<void> {
  if (round === 0) await sameFolders(source, target);
}
