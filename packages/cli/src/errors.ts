import type { ErrorCode } from '@cairn/core';
import { exitCodeFor, ExitCode } from './exit-codes.js';

/** An error that the command itself finds. Shaped like the library's, whose module is not loaded for it. */
export class CommandError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;

  constructor(code: ErrorCode, message: string, hint: string) {
    super(message);
    this.code = code;
    this.hint = hint;
  }
}

/** Wrong arguments: exit code 2. */
export class UsageError extends CommandError {
  constructor(message: string, hint: string) {
    super('CAIRN_INVALID_ARGUMENT', message, hint);
  }
}

/** Ctrl-C, or a polite request to end. */
export class Interrupted extends Error {
  readonly exitCode: ExitCode;

  constructor(signal: 'SIGINT' | 'SIGTERM') {
    super(signal === 'SIGINT' ? 'interrupted' : 'terminated');
    this.exitCode = signal === 'SIGINT' ? ExitCode.interrupted : ExitCode.terminated;
  }
}

/** An error that ends the command with another exit code than its own. */
export class ExitWith extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, cause: unknown) {
    super('see the cause', { cause });
    this.exitCode = exitCode;
  }
}

/** Whoever read our output has closed it, as `head` does: no error, and nothing more to do. */
export class OutputClosed extends Error {}

/** An error as it is printed. `fields` are what the error carries beside its code, such as `path` or `damage`. */
export interface ErrorReport {
  code: string;
  message: string;
  hint: string;
  exitCode: ExitCode;
  stack: string | undefined;
  fields: Record<string, unknown>;
}

export function reportError(error: unknown): ErrorReport {
  if (error instanceof ExitWith) return { ...reportError(error.cause), exitCode: error.exitCode };
  if (error instanceof Interrupted) {
    const hint = 'nothing half done is visible; run it again, and what is stored already is not stored twice';
    return { code: 'INTERRUPTED', message: error.message, hint, exitCode: error.exitCode, stack: undefined, fields: {} };
  }
  if (!(error instanceof Error)) {
    return {
      code: 'UNEXPECTED',
      message: String(error),
      hint: 'run it again with -v',
      exitCode: ExitCode.failed,
      stack: undefined,
      fields: {},
    };
  }
  const { code, hint, name: _name, cause: _cause, ...fields } = error as Error & { code?: unknown; hint?: unknown };
  const known = typeof code === 'string' ? code : 'UNEXPECTED';
  return {
    code: known,
    message: error.message,
    hint: typeof hint === 'string' ? hint : 'run it again with -v to see where this happened',
    exitCode: exitCodeFor(known),
    stack: stackWithCauses(error),
    fields,
  };
}

function stackWithCauses(error: Error): string {
  const own = error.stack ?? String(error);
  return error.cause instanceof Error ? `${own}\ncaused by: ${stackWithCauses(error.cause)}` : own;
}
