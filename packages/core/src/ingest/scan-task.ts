import { CHUNK_MIN } from '../chunking/cuts.js';
import { WARM_UP_BYTES } from '../chunking/gear.js';
import type { WorkerEnvironment } from '../workers/environment.js';
import { OperationControl } from '../workers/operation-control.js';
import { FileBytes } from './byte-source.js';
import type { ScanResult, ScanTask } from './messages.js';

const READ_BYTES = 1 << 20;
/** 256 times what random bytes give in 64 MiB; hostile ones give more, and come back in parts. */
const MAX_TRIGGERS = 1 << 18;

/** Finds all triggers in a part of a generic region: the half of chunking that can be done in any order. */
export async function scanSegment(environment: WorkerEnvironment, task: ScanTask): Promise<ScanResult> {
  const control = new OperationControl(task.control);
  const source = new FileBytes(task.path, task.fd);
  const found = new Uint32Array(Math.min(MAX_TRIGGERS, task.end - task.start));
  let count = 0;
  // No chunk of the region can end closer to its start, and a trigger takes in the bytes before it.
  for (let at = Math.max(task.start, task.regionStart + CHUNK_MIN - 1); at < task.end;) {
    control.check();
    const warmUp = at - WARM_UP_BYTES;
    const end = Math.min(task.end, at + READ_BYTES);
    const view = environment.window.subarray(0, end - warmUp);
    await source.read(view, warmUp);
    const triggers = found.subarray(count);
    const added = environment.scanner.scan(view, WARM_UP_BYTES, view.byteLength, triggers);
    for (let i = 0; i < added; i++) triggers[i]! += warmUp - task.start;
    count += added;
    if (added === triggers.length) return { triggers: found, scannedTo: task.start + found[count - 1]! };
    at = end;
  }
  return { triggers: found.slice(0, count), scannedTo: task.end };
}
