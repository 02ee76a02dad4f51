import { availableParallelism } from 'node:os';
import { Comparison, type ComparisonShare, type ComparisonTask, endComparison, partsOf, planComparison } from '../stamps/comparison.js';
import type { TaskRunner } from '../workers/pool.js';
import type { StatCache } from './stat-cache.js';

/** How a folder differs from what the stat cache has of it, by names. */
export interface Differences {
  /** Not as they were when they were known to be as the tree says; gone, or never known. */
  changed: string[];
  /** Not in the tree. */
  added: string[];
  /** The folder cannot be listed. */
  isClosed: boolean;
}

/** Names looked at between two turns of the event loop. */
const NAMES_PER_TURN = 512;
/** Handing less to other threads, which may have to start first, gains nothing. */
export const ROWS_WORTH_THREADS = 16_384;

/**
 * Compares folders of the tree with the disk, by several threads where there is much to look at. Returns those that differ.
 * What a thread that died had looked at is not known: @throws WorkerDiedError
 */
export async function compareWithFolder(
  parts: { cache: StatCache; dir: string; workers: TaskRunner; signal: AbortSignal | undefined },
  names: readonly string[],
): Promise<Map<string, Differences>> {
  const { cache, dir, workers, signal } = parts;
  const { memory, folders } = cache.compared(names);
  const task = planComparison(dir, memory, folders);
  const rows = folders.reduce((sum, folder) => sum + folder.rows, 0);
  const helpers = rows < ROWS_WORTH_THREADS ? 0 : Math.max(1, Math.min(workers.workers, availableParallelism() - 1));
  const found = new Map<string, Differences>();
  for (const { found: differences } of await compareTogether(task, workers, helpers, signal)) {
    for (const { folder, changed, added, isClosed } of differences) {
      const known = found.get(names[folder]!) ?? { changed: [], added: [], isClosed: false };
      // Those of several pages come apart.
      found.set(names[folder]!, {
        changed: [...known.changed, ...changed],
        added: [...known.added, ...added],
        isClosed: known.isClosed || isClosed === true,
      });
    }
  }
  return found;
}

/** Works on a comparison here and on helpers, until each part was looked at. @throws what a helper failed with whose parts are missing */
export async function compareTogether(
  task: ComparisonTask,
  workers: Pick<TaskRunner, 'run'>,
  helpers: number,
  signal?: AbortSignal,
): Promise<ComparisonShare[]> {
  const found: ComparisonShare[] = [];
  let missing = partsOf(task);
  let settled = 0;
  let failure: unknown;
  let wake = (): void => undefined;
  for (let i = 0; i < helpers; i++) {
    const share = workers.run<ComparisonShare>('read', task).then(
      (done) => {
        found.push(done);
        missing -= done.parts;
      },
      (error: unknown) => void (failure ??= error),
    );
    void share.finally(() => {
      settled++;
      wake();
    });
  }
  const own = new Comparison(task);
  try {
    for (let looked = 0, step; (step = own.step()) > 0;) {
      looked += step;
      if (looked < NAMES_PER_TURN) continue;
      looked = 0;
      await new Promise(setImmediate);
      signal?.throwIfAborted();
    }
    missing -= own.share.parts;
    // A helper that comes when all is done, or never, is not waited for.
    while (missing > 0 && settled < helpers) await new Promise<void>((resolve) => (wake = resolve));
  } finally {
    endComparison(task);
  }
  if (missing > 0) throw failure;
  return [...found, own.share];
}
