import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import type { Store } from '@cairn/core';
import { Runner, type ReloadResult } from '@cairn/gpu-runner';
import { InferenceSession } from 'onnxruntime-node';
import { scoresOf } from './model.js';

/** An image of nothing in particular: the recogniser takes height 48. */
const PIXELS = Float32Array.from({ length: 3 * 48 * 320 }, (_, i) => Math.sin(i / 7) / 2);

/** Bytes of the weights in all processes together. */
export interface WeightsInMemory {
  /** As if each process had its own. */
  resident: number;
  /** Of memory: what several processes have counts once. */
  shares: number;
}

/** Processes that recognise text by one copy of a model, which comes from a snapshot and is never written to a file. */
export class Inference implements AsyncDisposable {
  readonly processes: number;
  private readonly runner: Runner;

  private constructor(runner: Runner, processes: number) {
    this.runner = runner;
    this.processes = processes;
  }

  /** @param model volume and path of PaddleOCR's text recogniser */
  static async start(store: Store, model: { volume: string; path: string }, processes: number): Promise<Inference> {
    const module = new URL('./model.js', import.meta.url);
    return new Inference(await Runner.start({ store, module, processes, parameters: { ...model } }), processes);
  }

  /** Counts the versions that the processes have had, from 1. */
  get version(): number {
    return this.runner.status().version;
  }

  /**
   * The scores of an image, which every process has to give to the last bit as the model does when it is loaded from a file.
   * @throws Error naming the process that gives others
   */
  async scoresLike(weights: Uint8Array): Promise<Float32Array> {
    const expected = await scoresFromDisk(weights);
    for (const { pid, scores } of await this.everyProcess<{ pid: number; scores: Float32Array }>('recognise', PIXELS)) {
      if (Buffer.compare(Buffer.from(scores.buffer), Buffer.from(expected.buffer)) !== 0)
        throw new Error(`process ${pid} gives other scores than the model on disk`);
    }
    return expected;
  }

  /** What the kernel says of the pages that hold the weights. */
  async memory(): Promise<WeightsInMemory> {
    const all = await this.everyProcess<{ resident: number; share: number }>('memory');
    const sum = (numbers: number[]): number => numbers.reduce((total, number) => total + number, 0);
    return { resident: sum(all.map(({ resident }) => resident)), shares: sum(all.map(({ share }) => share)) };
  }

  /** Moves all processes to the newest version. */
  reload(): Promise<ReloadResult> {
    return this.runner.reload();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.runner.stop();
  }

  /** Calls go to the process that has the least to do, so as many at once as there are processes reach all of them. */
  private async everyProcess<T>(method: string, ...args: unknown[]): Promise<T[]> {
    const answers = await Promise.all(Array.from({ length: this.processes }, () => this.runner.call(method, ...args)));
    if (new Set(answers.map((answer) => (answer as { pid: number }).pid)).size !== this.processes)
      throw new Error('a process was left out');
    return answers as T[];
  }
}

/** As after some training steps: a few weights are other numbers. */
export function fineTuned(weights: Uint8Array): Buffer {
  const tuned = Buffer.from(weights);
  for (let at = 5_000_000; at < 5_040_000; at += 4) tuned[at + 2]! ^= 0x40;
  return tuned;
}

async function scoresFromDisk(weights: Uint8Array): Promise<Float32Array> {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'cairn-onnx-'));
  try {
    const file = path.join(folder, 'model.onnx');
    fs.writeFileSync(file, weights);
    const session = await InferenceSession.create(file);
    const scores = await scoresOf(session, PIXELS);
    await session.release();
    return scores;
  } finally {
    fs.rmSync(folder, { recursive: true });
  }
}
