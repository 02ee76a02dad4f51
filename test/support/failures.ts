import { isCairnError } from '@cairn/core';

/** What a call failed with; undefined when it did not. */
export async function failureOf(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
    return undefined;
  } catch (error) {
    return error ?? new Error('a call failed with nothing');
  }
}

/** The code of a typed error; of any other its whole text, so that it shows where a code was expected. */
export function codeOf(failure: unknown): string | undefined {
  if (failure === undefined) return undefined;
  if (isCairnError(failure)) return failure.code;
  return failure instanceof Error ? `not typed: ${failure.stack ?? failure.message}` : `no error: ${JSON.stringify(failure)}`;
}
