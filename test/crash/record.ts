import { join } from 'node:path';
import { Child } from '../support/children.js';
import { tempDir } from '../support/temp-dir.js';
import { readTrace, type RecordedTrace } from './trace.js';

/** Runs programs of operations, each on a store of its own, in a process that is gone when this returns: what it held is a dead process's. */
export async function record(programs: readonly (readonly string[])[]): Promise<RecordedTrace[]> {
  const runs = programs.map((program) => ({ dir: tempDir(), program }));
  await Child.start('../crash/recorded-run.mjs', { runs }).succeeds();
  return runs.map(({ dir }) => readTrace(join(dir, 'trace')));
}
