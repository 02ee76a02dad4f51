import { VolumeNotFoundError } from '../errors.js';
import { JournalWatcher } from '../refs/journal-watcher.js';
import type { SnapshotInfo } from '../types.js';
import type { Engine } from './engine.js';
import type { History } from './history.js';

/** How often the volume is looked at when nothing was heard. */
const LOOK_MS = 1000;

export interface Watch {
  engine: Engine;
  history: History;
  /** Generation that the caller knows. */
  from: number;
  name: () => string;
  signal: AbortSignal | undefined;
  /** Aborted when the caller's handle closes. */
  closing: AbortSignal;
  /** @throws ClosedError */
  assertOpen: () => void;
}

/**
 * The newest head each time that there is a newer one; those that came and went between two looks are in history.
 * A change is heard of when it is in the journal, a moment before the index has it: then the index is asked again and again,
 * at growing intervals, until it does.
 */
export async function* watchHeads({ engine, history, from, name, signal, closing, assertOpen }: Watch): AsyncGenerator<SnapshotInfo> {
  const ended = AbortSignal.any([closing, engine.ended, ...(signal === undefined ? [] : [signal])]);
  const journal = new JournalWatcher(engine.layout.refsDir);
  try {
    let known = from;
    let heard = 0;
    let waitMs = LOOK_MS;
    for (;;) {
      signal?.throwIfAborted();
      assertOpen();
      const volume = history.volume();
      if (volume === undefined) throw new VolumeNotFoundError(name());
      if (volume.head !== null && volume.generation > known) {
        known = volume.generation;
        yield history.info(volume.head, volume.generation, name());
        continue;
      }
      const isAhead = journal.newest > engine.index.state().seq;
      waitMs = !isAhead ? LOOK_MS : journal.newest > heard ? 1 : Math.min(2 * waitMs, LOOK_MS);
      heard = journal.newest;
      await journal.wait(waitMs, ended);
    }
  } finally {
    journal.close();
  }
}
