import { spawn, type ChildProcess } from 'node:child_process';
import { constants } from 'node:os';
import type { Mount, Store } from '@cairn/core';
import { reportLeftOut } from '../busy-files.js';
import { note, type Context } from '../context.js';
import { CommandError, ExitWith, Interrupted, UsageError } from '../errors.js';
import { ExitCode } from '../exit-codes.js';
import { place, printable } from '../format.js';
import { tracked } from '../progress.js';
import { example, type Define } from '../program.js';
import { addRunVolume, parseSeconds, type RunVolume } from '../run-plan.js';
import { withStore } from '../store.js';

interface RunOptions {
  volume?: RunVolume[];
  interval?: number;
}

/** Passed on to the command. A terminal sends Ctrl-C to both of us itself. */
const PASSED_ON: NodeJS.Signals[] = ['SIGTERM', 'SIGHUP', 'SIGINT', 'SIGUSR1', 'SIGUSR2'];

export const define: Define = (command, act) => {
  command
    .usage('[options] --volume VOL[@REF]=DIR[:ro]… -- COMMAND…')
    .argument('<command...>', 'what to run, with its arguments')
    .option('--volume <spec>', 'VOL[@REF]=DIR to mount, with :ro for reading only; repeatable', addRunVolume)
    .option('--interval <seconds>', 'how often to commit while it runs', parseSeconds, 10_000)
    .passThroughOptions()
    .addHelpText(
      'after',
      example(
        'cairn run --volume models=./work --interval 30 -- python train.py --out ./work',
        'Commits what is settled every so often and everything at the end, and exits as the command does; with 125 when we fail or the\nlast commit does, 126 when the command cannot be run, 127 when it is not found. The command itself can call cairn commit DIR.',
      ),
    )
    .action(act(run));
};

async function run(context: Context, words: string[], options: RunOptions): Promise<number> {
  const volumes = options.volume ?? [];
  if (volumes.length === 0) throw new UsageError('no volume is named', 'write --volume VOL=DIR before the command');
  try {
    return await withStore(context, async (store) => {
      const mounts = await mountAll(context, store, volumes, options.interval);
      let code: number;
      try {
        code = await runChild(context, words);
      } finally {
        await finish(context, mounts);
      }
      return code;
    });
  } catch (error) {
    throw error instanceof ExitWith || error instanceof Interrupted || context.signal.aborted
      ? error
      : new ExitWith(ExitCode.runFailed, error);
  }
}

async function mountAll(context: Context, store: Store, volumes: RunVolume[], intervalMs: number | undefined): Promise<Mount[]> {
  const mounts: Mount[] = [];
  for (const { volume, ref, subPath, dir, readOnly } of volumes) {
    const handle = await store.volumes.fromName(volume);
    const { value: mount } = await tracked(context, 'mount', (onProgress) =>
      handle.mount(dir, {
        signal: context.signal,
        onProgress,
        readOnly,
        ...(ref === undefined ? {} : { at: ref }),
        ...(subPath === undefined ? {} : { subPath }),
        backgroundCommit: readOnly ? false : { commitOnSignals: true, ...(intervalMs === undefined ? {} : { intervalMs }) },
      }),
    );
    mount.on('commitFailed', (error) => note(context, `cairn: a commit of ${printable(dir)} failed, and is tried again: ${error.message}`));
    mounts.push(mount);
  }
  return mounts;
}

/** Runs the command; its exit code, or what a shell makes of the signal that ended it. */
async function runChild(context: Context, [command = '', ...args]: string[]): Promise<number> {
  const child = spawn(command, args, { stdio: 'inherit' });
  const stop = passSignalsOn(child);
  context.takeSignals();
  try {
    return await new Promise<number>((resolve, reject) => {
      child.on('error', (error) => reject(notStarted(command, error)));
      child.on('exit', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
    });
  } finally {
    stop();
  }
}

function passSignalsOn(child: ChildProcess): () => void {
  const pass = (signal: NodeJS.Signals): void => {
    if (!(signal === 'SIGINT' && process.stdin.isTTY)) child.kill(signal);
  };
  for (const signal of PASSED_ON) process.on(signal, pass);
  // Afterwards they are ignored until the last commit is done: it is what they would wait for.
  return () => {
    for (const signal of PASSED_ON) process.off(signal, pass).on(signal, () => undefined);
  };
}

/** The last commit, and the version that it made, on stderr: stdout is the command's. */
async function finish(context: Context, mounts: Mount[]): Promise<void> {
  for (const mount of mounts) {
    const last = mount.readOnly ? undefined : await mount.commit();
    await mount.close();
    if (last === undefined) continue;
    reportLeftOut(context, last);
    if (!context.quiet) process.stderr.write(`${place(last.snapshot.volume, last.snapshot.id)}\n`);
  }
}

function notStarted(command: string, error: NodeJS.ErrnoException): ExitWith {
  const isMissing = error.code === 'ENOENT';
  const reason = isMissing ? `no such command: '${printable(command)}'` : `'${printable(command)}' cannot be run: ${error.message}`;
  const hint = isMissing ? 'check its name and PATH' : 'check that it is a program, and that you may run it';
  return new ExitWith(
    isMissing ? ExitCode.commandNotFound : ExitCode.notExecutable,
    new CommandError(isMissing ? 'ENOENT' : 'EACCES', reason, hint),
  );
}
