import { GpuError } from '../errors.js';
import { toWire, type WireError } from '../protocol/messages.js';
import type { ModelDefinition, Parameters } from './define-model.js';
import { OpenWeights } from './weights.js';
import { PARAMETERS_VARIABLE, type FromWorker, type ToWorker } from './worker-messages.js';

/*
 * One inference process: loads the module of a model, asks the runner for its weights, enters, and answers calls. It ends when it
 * is told to, and when its runner is gone, so that no process holds memory that nobody serves any more.
 */

/** A state of the model, and the calls that use it. */
interface Entered {
  state: unknown;
  weights: OpenWeights;
  calls: Set<Promise<void>>;
}

const send = (message: FromWorker): void => void process.send?.(message);
const [moduleUrl = ''] = process.argv.slice(2);
const parameters = JSON.parse(process.env[PARAMETERS_VARIABLE] ?? '{}') as Parameters;
const { default: definition } = (await import(moduleUrl)) as { default: ModelDefinition };
let current: Entered | undefined;
// Versions are entered one after the other.
let entering: Promise<void> = Promise.resolve();
/** Older states on their way out. */
const retiring = new Set<Promise<void>>();

process.on('message', (message: ToWorker) => {
  switch (message.type) {
    case 'weights':
      entering = entering.then(() => enter(message.version, message));
      return;
    case 'call':
      return begin(message.id, message.method, message.args);
    case 'ping':
      return send({ type: 'pong' });
    case 'stop':
      return void stop();
  }
});
// Nobody is there any more who could hear the answers to what is under way.
process.on('disconnect', () => void end());
// The runner asks by message; Ctrl-C in a terminal reaches the whole group, and the runner then stops us in order.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', () => void stop());

const resolve = <T>(value: T | ((parameters: Parameters) => T)): T =>
  typeof value === 'function' ? (value as (parameters: Parameters) => T)(parameters) : value;
const { volume, path, ref, load } = definition;
send({
  type: 'want',
  model: {
    ...(load === undefined ? {} : resolve(load)),
    volume: resolve(volume),
    path: resolve(path),
    ...(ref === undefined ? {} : { ref }),
  },
});

async function enter(version: number, { manifest, inPlace = false }: Extract<ToWorker, { type: 'weights' }>): Promise<void> {
  try {
    if (inPlace && current !== undefined && definition.update !== undefined) {
      current.weights.describe(manifest);
      current.state = await definition.update(current.state, { weights: current.weights, parameters, version });
      return send({ type: 'ready', version });
    }
    const weights = new OpenWeights(manifest);
    let state: unknown;
    try {
      state = await definition.enter({ weights, parameters, version });
    } catch (error) {
      weights.release();
      throw error;
    }
    const old = current;
    current = { state, weights, calls: new Set() };
    send({ type: 'ready', version });
    if (old !== undefined) retire(old);
  } catch (error) {
    send({ type: 'failed', version, error: failure(error) });
  }
}

function begin(id: number, name: string, args: unknown[]): void {
  const used = current;
  const running = call(id, name, args, used).finally(() => used?.calls.delete(running));
  used?.calls.add(running);
}

async function call(id: number, name: string, args: unknown[], used: Entered | undefined): Promise<void> {
  try {
    const method = definition.methods?.[name] as ((state: unknown, ...args: unknown[]) => unknown) | undefined;
    if (method === undefined || used === undefined) throw new TypeError(`the model has no method '${name}'`);
    send({ type: 'result', id, value: await method(used.state, ...args) });
  } catch (error) {
    send({ type: 'error', id, error: failure(error) });
  }
}

/** The last call that uses a state ends it. */
function retire({ state, weights, calls }: Entered): void {
  const leaving = Promise.all(calls)
    .then(() => definition.exit?.(state))
    .then(
      () => weights.release(),
      // Its memory may be in use still: it stays until the process ends.
      (error: unknown) => void process.stderr.write(`${failure(error).message}\n`),
    )
    .finally(() => retiring.delete(leaving));
  retiring.add(leaving);
}

/** In order: what is under way ends first. */
async function stop(): Promise<void> {
  await Promise.all([...retiring, ...(current?.calls ?? [])]);
  await end();
}

async function end(): Promise<void> {
  const last = current;
  current = undefined;
  try {
    if (last !== undefined) await definition.exit?.(last.state);
  } finally {
    process.exit(0);
  }
}

function failure(error: unknown): WireError {
  if (error instanceof GpuError) return toWire(error);
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return {
    code: 'CAIRN_GPU_PROCESS_FAILED',
    message: `the model's code threw: ${message}`,
    hint: 'look at the module that defines the model',
  };
}
