import type { WorkerEnvironment } from '../workers/environment.js';
import { OperationControl } from '../workers/operation-control.js';
import { Cutter } from './cutting.js';
import type { StoreStreamResult, StoreStreamTask } from './messages.js';
import { PauseError, Ring, RingBytes } from './ring.js';
import { inUnit } from './store-task.js';
import { UnitWriter } from './unit-writer.js';

/**
 * Stores a stream from where the last unit left it. A stream cannot be read twice, so it never borrows; others may borrow
 * from it.
 */
export async function storeStream(environment: WorkerEnvironment, task: StoreStreamTask): Promise<StoreStreamResult> {
  const ring = new Ring(task.ring);
  const source = new RingBytes(ring, task.port, new OperationControl(task.control), environment.pressure);
  let ended = false;
  try {
    const unit = await inUnit(environment, await UnitWriter.begin(environment, task, 'store'), async (writer) => {
      const cutter = new Cutter(environment, writer, source);
      try {
        for (const span of task.spans) await cutter.span(span);
        ended = true;
      } catch (error) {
        if (!(error instanceof PauseError)) throw error;
      }
    });
    return { ...unit, position: source.position, ended };
  } finally {
    task.port.close();
  }
}
