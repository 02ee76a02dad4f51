import type { Command, CommanderError } from 'commander';
import type { Context } from './context.js';
import { Interrupted, OutputClosed, reportError, UsageError } from './errors.js';
import { ExitCode } from './exit-codes.js';
import { Output } from './output.js';
import type { Act } from './program.js';
import { version } from './version.js';

/** The `cairn` command. Returns the exit code, having printed everything; throws nothing. */
export async function main(argv: string[]): Promise<number> {
  const work = new AbortController();
  const stopWatching = watchSignals(work);
  const output = new Output(process.stdout, (reason) => work.abort(reason));
  // Nobody left to tell.
  process.stderr.on('error', () => {});
  try {
    const code = await run(argv, output, work.signal, stopWatching);
    await output.flush();
    return code;
  } catch (error) {
    // An aborted call may reject with an error of its own instead of the reason; what the person did is what counts.
    const cause: unknown = work.signal.aborted ? work.signal.reason : error;
    if (cause instanceof OutputClosed) return ExitCode.done;
    await output.flush().catch(() => {});
    return fail(cause, argv);
  } finally {
    stopWatching();
  }
}

async function run(argv: string[], output: Output, signal: AbortSignal, takeSignals: () => void): Promise<number> {
  if (argv[0] === '--version' || argv[0] === '-V') {
    // The whole of commander is not needed for this.
    await output.line(version());
    return ExitCode.done;
  }
  if (argv[0] === '__complete') return printCandidates(argv.slice(1), output, signal);
  const { buildProgram } = await import('./program.js');
  let exitCode: number = ExitCode.done;
  let words = 'cairn';
  const act: Act =
    (body) =>
    async (...args: unknown[]) => {
      const command = args.pop() as Command;
      const globals = command.optsWithGlobals<{ store?: string; json?: boolean; quiet?: boolean; verbose?: boolean }>();
      const context: Context = {
        output,
        signal,
        takeSignals,
        storeOption: globals.store,
        json: globals.json === true,
        quiet: globals.quiet === true,
        verbose: globals.verbose === true,
      };
      exitCode = (await body(context, ...args)) ?? ExitCode.done;
    };
  const program = buildProgram(act, (name) => (words += ` ${name}`));
  try {
    await program.parseAsync(withoutHelpCommand(argv), { from: 'user' });
  } catch (error) {
    if (isCommanderError(error)) return judge(error, words);
    throw error;
  }
  return exitCode;
}

/** What `cairn completion` has the shells ask. There is nobody to read an error while a line is being typed. */
async function printCandidates(words: string[], output: Output, signal: AbortSignal): Promise<ExitCode> {
  const [{ buildProgram }, { complete }, { withStore }] = await Promise.all([
    import('./program.js'),
    import('./complete.js'),
    import('./store.js'),
  ]);
  const volumes = async (storeOption: string | undefined): Promise<string[]> => {
    const context: Context = { output, signal, storeOption, json: false, quiet: true, verbose: false, takeSignals: () => {} };
    return withStore(context, async (store) => (await store.volumes.list()).map(({ name }) => name)).catch(() => []);
  };
  const program = buildProgram(
    () => async () => {},
    () => {},
  );
  for (const { value, about } of await complete(program, words, volumes)) await output.line(`${value}\t${about}`);
  return ExitCode.done;
}

/** `help X` is `X --help`: commander's own help command would look at commands that are not loaded yet. */
function withoutHelpCommand(argv: string[]): string[] {
  const at = argv[0] === 'volume' ? 1 : 0;
  return argv[at] === 'help' ? [...argv.slice(0, at), ...argv.slice(at + 1), '--help'] : argv;
}

function isCommanderError(error: unknown): error is CommanderError {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('commander.');
}

/** Commander ends by throwing, for help that was asked for as for wrong usage. */
function judge(error: CommanderError, words: string): ExitCode {
  if (error.exitCode === 0) return ExitCode.done;
  // A command group without a command: its help is on stderr already.
  if (error.code === 'commander.help') return ExitCode.usage;
  const [message = '', suggestion] = error.message.replace(/^error: /, '').split('\n');
  throw new UsageError(
    message,
    `${suggestion === undefined ? '' : `${suggestion.replace(/[()]/g, '').toLowerCase()} `}see '${words} --help'`,
  );
}

function fail(error: unknown, argv: string[]): ExitCode {
  const report = reportError(error);
  const verbose = argv.includes('-v') || argv.includes('--verbose');
  // Looked for by hand, since the error may be that the options cannot be read.
  if (argv.includes('--json')) {
    const { code, message, hint, exitCode, fields } = report;
    process.stderr.write(
      JSON.stringify({ error: { code, message, hint, exitCode, ...fields, ...(verbose ? { stack: report.stack } : {}) } }) + '\n',
    );
  } else {
    process.stderr.write(`cairn: ${report.message}\n  hint: ${report.hint}\n`);
    if (verbose && report.stack !== undefined) process.stderr.write(report.stack + '\n');
  }
  return report.exitCode;
}

/** The first signal lets the work end cleanly; a second one does not wait for that. */
function watchSignals(work: AbortController): () => void {
  const onSignal = (signal: 'SIGINT' | 'SIGTERM') => (): void => {
    const reason = new Interrupted(signal);
    if (work.signal.aborted) process.exit(reason.exitCode);
    work.abort(reason);
  };
  const [onInterrupt, onTerminate] = [onSignal('SIGINT'), onSignal('SIGTERM')];
  process.on('SIGINT', onInterrupt).on('SIGTERM', onTerminate);
  return () => void process.off('SIGINT', onInterrupt).off('SIGTERM', onTerminate);
}
