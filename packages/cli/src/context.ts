import type { Output } from './output.js';

/** What every command is given beside its own arguments. */
export interface Context {
  readonly output: Output;
  /** `--store`, as typed. */
  readonly storeOption: string | undefined;
  /** `--json`: documents on stdout instead of text for people. */
  readonly json: boolean;
  /** `-q`: no progress and no summaries; only what was asked for. */
  readonly quiet: boolean;
  /** `-v`: diagnostics and stack traces on stderr. */
  readonly verbose: boolean;
  /** Aborted by Ctrl-C, SIGTERM, and when the reader of our output goes away. */
  readonly signal: AbortSignal;
  /** From now on signals are the command's own business: they abort nothing. */
  readonly takeSignals: () => void;
}

/** A line for the person, on stderr, so that it never mixes with data. */
export function note(context: Context, text: string): void {
  if (!context.quiet && !context.json) process.stderr.write(text + '\n');
}
