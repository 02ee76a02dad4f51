import type { Store, Volume } from '@cairn/core';
import { fineTuned, Inference } from '@cairn/example-onnx-inference';
import { bytes, line, timed } from './print.js';

const PROCESSES = 3;

/**
 * Has onnxruntime recognise something in three processes whose weights are memory filled from a snapshot, before and after `commit`
 * of a fine-tuned version, each time compared with the same model loaded from disk.
 */
export async function servedToProcesses(
  store: Store,
  volume: Volume,
  path: string,
  commit: (tuned: Uint8Array) => Promise<unknown>,
): Promise<void> {
  if (process.platform !== 'linux')
    return line(`left out: on ${process.platform} memory cannot be handed to other processes; on Linux it can`);
  const original = await volume.readFile(path);
  const { result, seconds } = await timed(() => Inference.start(store, { volume: volume.name!, path }, PROCESSES));
  await using inference = result;
  line(`onnxruntime in ${PROCESSES} processes, by descriptors of memory: ready in ${seconds.toFixed(1)} s, no file was written`);
  const before = await inference.scoresLike(original);
  line(`${before.length} scores in each, equal to those of a load from disk to the last bit`);
  const { resident, shares } = await inference.memory();
  if (shares > 1.1 * original.length) throw new Error(`the weights are in memory more than once: ${bytes(shares)}`);
  line(
    `the weights, ${bytes(original.length)}: ${bytes(resident)} in the accounts of the processes, ${bytes(shares)} of memory: one copy, and the runner has it, too`,
  );
  const tuned = fineTuned(original);
  await commit(tuned);
  const { metrics } = await inference.reload();
  line(`reload: ${bytes(metrics.readBytes)} read, ${bytes(metrics.reusedBytes)} taken over in memory, ${metrics.elapsedMs.toFixed(0)} ms`);
  const after = await inference.scoresLike(tuned);
  if (after.every((score, i) => score === before[i])) throw new Error('the fine-tuned version gives the scores of the one before');
  line('other scores now, and again those of a load from disk');
}
