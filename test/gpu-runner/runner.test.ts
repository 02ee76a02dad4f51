import type { Store } from '@cairn/core';
import { Runner, type RunnerOptions } from '@cairn/gpu-runner';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';
import { holders, memoryOf, Process } from './daemon.js';
import { commit, hostDevice, safetensors, tensor, testStore } from './support.js';
import { eventually } from '../support/eventually.js';

const WEIGHTS = noise(4 << 20, 1).with(0, 1);
const CHANGED = WEIGHTS.with(2 << 20, WEIGHTS[2 << 20]! ^ 1);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

interface Told {
  digest: string;
  version: number;
  entered: number;
  pid: number;
}

async function start(
  store: Store,
  options: Partial<RunnerOptions> = {},
): Promise<{ runner: Runner; log: () => string; told: () => Promise<Told> }> {
  const stdout = new PassThrough();
  let text = '';
  stdout.on('data', (data) => (text += String(data)));
  const module = new URL('./models/echo.mjs', import.meta.url);
  const runner = await Runner.start({ store, module, stdout, stderr: stdout, backoffMs: { first: 20 }, ...options });
  onTestFinished(() => runner.stop({ graceMs: 2000 }));
  return { runner, log: () => text, told: async () => (await runner.call('digest')) as Told };
}

describe('a model that runs', () => {
  it('is entered once per process with its weights in memory, and loaded once for all of them', async () => {
    const store = await testStore();
    await commit(store, 'models', { 'a.bin': WEIGHTS });
    const device = hostDevice();
    const { runner, log } = await start(store, { processes: 3, device });
    const answers = (await Promise.all([1, 2, 3].map(() => runner.call('digest')))) as Told[];
    expect(new Set(answers.map(({ pid }) => pid)).size).toBe(3);
    for (const answer of answers) expect(answer).toMatchObject({ digest: sha256(WEIGHTS), version: 1, entered: 1 });
    expect(await runner.call('add', 2, 3)).toBe(5);
    expect(runner.metrics()).toMatch(/^cairn_gpu_loads_total 1$/m);
    expect(runner.metrics()).toMatch(/^cairn_gpu_processes_ready 3$/m);
    expect(log()).toMatch(/^\[model-2\] entered 1$/m);
    await runner.stop();
    expect(log()).toMatch(/^\[model-0\] exit of version 1$/m);
    expect(answers.filter(({ pid }) => existsSync(`/proc/${pid}`))).toEqual([]);
    expect(device.info()).toMatchObject({ allocatedBytes: 0, lingeringBytes: 0 });
    await expect(runner.call('add', 1, 1)).rejects.toMatchObject({ code: 'CAIRN_CLOSED' });
  });

  it('ends its calls before it stops; those that take longer than they are given fail by a typed error', async () => {
    const store = await testStore();
    await commit(store, 'models', { 'a.bin': WEIGHTS });
    const { runner, log } = await start(store);
    const calls = [runner.call('slow', 300), runner.call('slow', 100), runner.call('add', 1, 2)];
    await runner.stop();
    expect(await Promise.all(calls)).toEqual([...Array<unknown>(2).fill({ exited: false, digest: sha256(WEIGHTS) }), 3]);
    expect(log()).toContain('exit of version 1');
    const { runner: other } = await start(store);
    const endless = expect(other.call('slow', 1e6)).rejects.toMatchObject({ code: 'CAIRN_GPU_PROCESS_FAILED' });
    await other.stop({ graceMs: 50 });
    await endless;
  });

  it('is chosen by parameters', async () => {
    const store = await testStore();
    const file = safetensors([tensor('w', 'F32', [8, 4], 4, 1), tensor('x', 'U8', [5], 1, 2)]);
    await commit(store, 'others', { 'm.safetensors': file });
    const parameters = { volume: 'others', path: 'm.safetensors' };
    expect((await (await start(store, { parameters })).told()).digest).toBe(sha256(file));
    // Packed tensors are no file: what the model does with them has to fit what it loads.
    const load = { layout: 'tensors', include: ['w'] };
    await expect(start(store, { parameters: { ...parameters, load } })).rejects.toMatchObject({ code: 'CAIRN_GPU_TENSOR_NOT_FOUND' });
  });

  it('that is not there, or cannot be entered, fails the start clearly, and leaves no process', async () => {
    const store = await testStore();
    await commit(store, 'models', { 'a.bin': WEIGHTS });
    const code = (parameters: Record<string, unknown>): Promise<unknown> =>
      start(store, { parameters }).then(
        () => undefined,
        (error: unknown) => error,
      );
    expect(await code({ volume: 'nobody' })).toMatchObject({ code: 'CAIRN_GPU_MODEL_NOT_FOUND' });
    expect(await code({ path: 'missing.bin' })).toMatchObject({ code: 'CAIRN_GPU_MODEL_NOT_FOUND' });
    const error = await code({ failOnEnter: true });
    expect(error).toMatchObject({ code: 'CAIRN_GPU_PROCESS_FAILED', message: expect.stringContaining('cannot enter') });
  });

  it('is started again when its process dies, with the same weights; what was called fails by a typed error', async () => {
    const store = await testStore();
    const volume = await commit(store, 'models', { 'a.bin': WEIGHTS });
    const { runner, told } = await start(store);
    const first = await told();
    await volume.writeFile('a.bin', CHANGED); // Not asked for yet.
    await volume.commit();
    await expect(runner.call('die')).rejects.toMatchObject({ code: 'CAIRN_GPU_PROCESS_FAILED' });
    const second = await told();
    expect(second).toMatchObject({ digest: sha256(WEIGHTS), version: 1, entered: 1 });
    expect(second.pid).not.toBe(first.pid);
    process.kill(second.pid, 'SIGKILL');
    const third = await eventually(async () => {
      const { pid } = runner.status().processes[0]!;
      return pid === undefined || pid === second.pid ? undefined : told();
    });
    expect(third).toMatchObject({ digest: sha256(WEIGHTS) });
    expect(runner.status().processes).toMatchObject([{ restarts: 2, version: 1 }]);
    await expect(runner.call('fail')).rejects.toMatchObject({ message: expect.stringContaining('as asked') });
    await expect(runner.call('nothing')).rejects.toMatchObject({ message: expect.stringContaining("no method 'nothing'") });
  });

  it('is started again when it hangs', async () => {
    const store = await testStore();
    await commit(store, 'models', { 'a.bin': WEIGHTS });
    const { runner, told } = await start(store, { healthIntervalMs: 50, healthTimeoutMs: 500 });
    const { pid } = await told();
    await expect(runner.call('hang')).rejects.toMatchObject({ code: 'CAIRN_GPU_PROCESS_FAILED' });
    expect((await told()).pid).not.toBe(pid);
  });
});

it('a runner that is killed leaves no process and no memory behind', async () => {
  const dir = join(tempDir(), 'store');
  await withStore(dir, async (store) => void (await commit(store, 'models', { 'a.bin': WEIGHTS })));
  const script = fileURLToPath(new URL('./models/run.mjs', import.meta.url));
  const running = new Process(process.execPath, [script, dir]);
  const [, pids = ''] = await running.says(/running ([\d ]+)\./);
  const workers = pids.split(' ').map(Number);
  const [inode = 0] = memoryOf(workers[0]!);
  expect(holders(inode)).toEqual(expect.arrayContaining([running.child.pid, ...workers]));
  running.child.kill('SIGKILL');
  await eventually(() => (holders(inode).length === 0 ? true : undefined));
});

describe('reload', () => {
  it('moves every process to the new head, reads only what changed, and lets calls end on what they began with', async () => {
    const store = await testStore();
    await commit(store, 'models', { 'a.bin': WEIGHTS });
    const device = hostDevice();
    const { runner, told, log } = await start(store, { device });
    expect(await runner.reload()).toMatchObject({ changed: false, version: 1 });
    const { base } = await commit(store, 'models', { 'a.bin': CHANGED });
    const slow = runner.call('slow', 700);
    const result = await runner.reload();
    expect(result).toMatchObject({ changed: true, version: 2, snapshot: base!.id });
    expect(result.metrics.readBytes).toBeLessThan(WEIGHTS.length / 10);
    expect(result.metrics.readBytes + result.metrics.reusedBytes).toBe(WEIGHTS.length);
    expect(await told()).toMatchObject({ digest: sha256(CHANGED), version: 2, entered: 2 });
    expect(await slow).toEqual({ exited: false, digest: sha256(WEIGHTS) });
    await eventually(() => (log().includes('exit of version 1') ? true : undefined));
    await eventually(() => (device.info().lingeringBytes === 0 ? true : undefined));
    // A process that is started later has the version of the others.
    await expect(runner.call('die')).rejects.toThrow();
    expect(await told()).toMatchObject({ digest: sha256(CHANGED), version: 2, entered: 1 });
  });

  it.each([false, true])('that is under way when the runner is stopped ends with a typed error (in place: %s)', async (inPlace) => {
    const store = await testStore();
    await commit(store, 'models', { 'a.bin': WEIGHTS });
    const device = hostDevice();
    const { runner } = await start(store, { device, parameters: { stuckOnReload: true } });
    await commit(store, 'models', { 'a.bin': CHANGED });
    // Beside the old version it waits for the new one to be entered; in place for calls to end.
    const call = inPlace ? runner.call('slow', 1e6) : Promise.reject(new Error('none'));
    const outcomes = Promise.allSettled([call, runner.reload({ inPlace })]);
    if (!inPlace) await eventually(() => device.info().allocatedBytes === 2 * WEIGHTS.length);
    await runner.stop({ graceMs: 100 });
    expect((await outcomes)[1]).toMatchObject({ status: 'rejected', reason: { code: 'CAIRN_CLOSED' } });
    expect(device.info()).toMatchObject({ allocatedBytes: 0, lingeringBytes: 0 });
  });

  it('to weights that cannot be entered fails, and the old ones stay in use, also after a restart', async () => {
    const store = await testStore();
    await commit(store, 'models', { 'a.bin': WEIGHTS });
    const { runner, told } = await start(store, { processes: 2 });
    await commit(store, 'models', { 'a.bin': CHANGED.with(0, 0xff) });
    await expect(runner.reload()).rejects.toMatchObject({ message: expect.stringContaining('poison') });
    expect(runner.status()).toMatchObject({ version: 1 });
    await expect(runner.call('die')).rejects.toThrow();
    await eventually(() => (runner.status().processes.every(({ version }) => version === 1) ? true : undefined));
    expect(await told()).toMatchObject({ digest: sha256(WEIGHTS), version: 1 });
    await commit(store, 'models', { 'a.bin': CHANGED });
    expect(await runner.reload()).toMatchObject({ changed: true });
    expect(await told()).toMatchObject({ digest: sha256(CHANGED) });
  });
});

describe('reload in place', () => {
  const bytes = noise(40 << 20, 7).with(0, 1);
  const changed = bytes.with(20 << 20, bytes[20 << 20]! ^ 1);

  it.each(['update', 'enter'] as const)(
    'changes the memory that all processes have, when no call uses it, and has them %s',
    async (how) => {
      const store = await testStore();
      await commit(store, 'models', { 'a.bin': bytes });
      const device = hostDevice();
      // The same model without its `update` is entered anew.
      const module = new URL(how === 'update' ? './models/echo.mjs' : './models/echo-anew.mjs', import.meta.url);
      const { runner, log } = await start(store, { device, processes: 2, module });
      await commit(store, 'models', { 'a.bin': changed });
      const slow = [1, 2].map(() => runner.call('slow', 300));
      const reload = runner.reload({ inPlace: true });
      await new Promise(setImmediate);
      const after = [1, 2].map(() => runner.call('digest') as Promise<Told>);
      const result = await reload;
      expect(result).toMatchObject({ changed: true, version: 2 });
      expect(result.metrics.readBytes).toBeLessThanOrEqual(0.04 * bytes.length);
      // Calls end on what they began with, and begin on what they end with.
      expect(await Promise.all(slow)).toEqual([1, 2].map(() => ({ exited: false, digest: sha256(bytes) })));
      for (const told of await Promise.all(after)) expect(told).toMatchObject({ digest: sha256(changed), version: 2 });
      expect(device.info()).toMatchObject({ allocatedBytes: bytes.length, lingeringBytes: 0, reusableBytes: 0 });
      expect(log().match(/updated to 2/g) ?? []).toHaveLength(how === 'update' ? 2 : 0);
      expect(await runner.reload({ inPlace: true })).toMatchObject({ changed: false, version: 2 });
      await expect(runner.call('die')).rejects.toThrow();
      expect(await runner.call('digest')).toMatchObject({ digest: sha256(changed), version: 2 });
      expect(runner.metrics()).toMatch(/^cairn_gpu_updates_total 1$/m);
    },
  );

  it('that is refused leaves everything as it is; one that fails half-way starts the processes anew on the newest version', async () => {
    const store = await testStore();
    const volume = await commit(store, 'models', { 'a.bin': bytes });
    const { runner, told } = await start(store, { processes: 2 });
    await commit(store, 'models', { 'a.bin': bytes.subarray(1) });
    await expect(runner.reload({ inPlace: true })).rejects.toMatchObject({ code: 'CAIRN_GPU_NOT_IN_PLACE' });
    expect(await told()).toMatchObject({ digest: sha256(bytes), version: 1 });
    const other = noise(40 << 20, 8).with(0, 1);
    await volume.reload();
    await commit(store, 'models', { 'a.bin': other });
    const abort = new AbortController();
    const onProgress = (): void => abort.abort(new Error('enough'));
    await expect(runner.reload({ inPlace: true, signal: abort.signal, onProgress })).rejects.toThrow('enough');
    expect(await told()).toMatchObject({ digest: sha256(other), entered: 1 });
    await eventually(() => (runner.status().processes.every(({ version }) => version !== undefined) ? true : undefined));
    expect(runner.status().processes.map(({ restarts }) => restarts)).toEqual([1, 1]);
    await commit(store, 'models', { 'a.bin': changed });
    expect(await runner.reload({ inPlace: true })).toMatchObject({ changed: true });
    expect(await told()).toMatchObject({ digest: sha256(changed) });
  });
});
