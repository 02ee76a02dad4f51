import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, CudaDevice, startDaemon } from '@cairn/gpu-runner';
import { fnv1a, sha256, type Model } from './model.js';
import { equal, type VerificationRecord } from './record.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const CONSUMERS = path.join(ROOT, 'examples', 'gpu-consumers');
const COMMAND = path.join(ROOT, 'packages', 'gpu-runner', 'bin', 'cairn-gpu.js');
/** Where toolkits put cuda.h; without one, what the tests use in its place. */
const HEADERS = ['/usr/local/cuda/include', '/usr/include', path.join(ROOT, 'test', 'support', 'emulated-cuda', 'include')];

interface Started {
  child: ChildProcess;
  ended: Promise<{ code: number | string | null; out: string; err: string }>;
}

/** What processes of a daemon and its consumers see. Everything that is made lies in `folder`. */
export async function checkProcesses(record: VerificationRecord, deviceId: string, model: Model, folder: string): Promise<void> {
  const { tensors } = model;
  const library = loadedLibrary();
  const expected = `0 ${tensors.bytes.length} ${fnv1a(tensors.bytes)}\n`;
  const socketPath = path.join(folder, 'gpu.sock');
  const consumer = path.join(folder, 'cuda-consumer');
  const source = path.join(CONSUMERS, 'cuda-consumer.c');
  const headers = HEADERS.find((dir) => fs.existsSync(path.join(dir, 'cuda.h')))!;
  const request = [socketPath, 'models', 'tensors.safetensors'];

  const start = (command: string, args: string[], stdin: 'ignore' | 'pipe' = 'ignore'): Started => {
    const paths = [path.dirname(library), process.env['LD_LIBRARY_PATH']].filter(Boolean).join(':');
    const child = spawn(command, args, { env: { ...process.env, LD_LIBRARY_PATH: paths }, stdio: [stdin, 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout!.on('data', (data) => (out += String(data)));
    child.stderr!.on('data', (data) => (err += String(data)));
    const ended = new Promise<Awaited<Started['ended']>>((resolve) => {
      child.once('error', (error) => resolve({ code: null, out, err: error.message }));
      child.once('close', (code, signal) => resolve({ code: code ?? signal, out, err }));
    });
    return { child, ended };
  };
  const succeed = async (command: string, args: string[]): Promise<string> => {
    const { code, out, err } = await start(command, args).ended;
    if (code !== 0) throw new Error(`${path.basename(command)} ended with ${code}: ${err}${out}`);
    return out;
  };
  const consume = async (...words: string[]): Promise<void> => equal(await succeed(consumer, [...request, ...words]), expected, 'regions');

  const compiled = await record.check('the consumer in C compiles', async () => {
    await succeed('cc', ['-O2', '-o', consumer, source, `-I${headers}`, library]);
    return `with cuda.h of ${headers.startsWith(ROOT) ? 'this repository' : headers}`;
  });
  if (spawnSync('nvcc', ['--version']).status === 0)
    await record.check('and with nvcc', async () => void (await succeed('nvcc', ['-o', `${consumer}-nvcc`, source, '-Xlinker', library])));
  if (!compiled) return;

  const serving = start(process.execPath, [COMMAND, 'serve', '--store', model.dir, '--socket', socketPath, '--device', deviceId]);
  try {
    const serves = await record.check('cairn-gpu serve starts', async () => {
      const failed = serving.ended.then(({ err }) => Promise.reject(new Error(err)));
      await Promise.race([once(serving.child.stdout!, 'data'), failed]);
    });
    if (!serves) return;
    await record.check('a consumer in C maps what the daemon owns, and reads every byte', () => consume());
    await record.check('it cannot write to what it mapped for reading', async () =>
      equal(await succeed(consumer, [...request, '--write']), `${expected}not written\n`, 'output'),
    );
    await record.check('others are not touched by that', () => consume());
    await record.check('a consumer in C has memory of its own filled', () => consume('--fill'));
    await record.check('a consumer in TypeScript reads every tensor', async () => {
      const output = await succeed(process.execPath, [path.join(CONSUMERS, 'dist', 'cuda-consumer.js'), ...request]);
      const digests = new Map(output.trim().split('\n').map((line) => line.split(' ').slice(0, 2).reverse() as [string, string])); // prettier-ignore
      for (const [name, bytes] of tensors.parts) equal(digests.get(name), sha256(bytes), name);
    });
    await record.check('a second consumer attaches to a model that is loaded', async () => {
      using client = await Client.connect(socketPath);
      using first = await client.load({ volume: 'models', path: 'large.bin' });
      const begun = performance.now();
      using second = await client.load({ volume: 'models', path: 'large.bin' });
      equal(second.shared && second.manifest.key === first.manifest.key, true, 'one memory');
      return record.figure(`${(performance.now() - begun).toFixed(1)} ms`);
    });
    await record.check('what is mapped survives the daemon', async () => {
      const { child, ended } = start(consumer, [...request, '--hold'], 'pipe');
      await Promise.race([once(child.stdout!, 'data'), ended]);
      serving.child.kill('SIGKILL');
      await serving.ended;
      child.stdin!.end();
      const { out, err } = await ended;
      equal(out, `mapped\n${expected}`, `output (${err})`);
    });
  } finally {
    serving.child.kill('SIGKILL');
    await serving.ended;
  }

  await record.check('IPC handles do what descriptors do, while the daemon lives', async () => {
    await using device = await CudaDevice.open({ ordinal: Number(deviceId.slice('cuda:'.length)), sharing: 'ipc' });
    await using daemon = await startDaemon({ store: model.store, device, socketPath });
    void daemon;
    await consume();
  });
}

/** The libcuda that this process has: consumers are linked with the same. */
function loadedLibrary(): string {
  const found = /\S*\/libcuda\.so\S*/.exec(fs.readFileSync('/proc/self/maps', 'latin1'));
  if (found === null) throw new Error('libcuda is not mapped');
  return found[0];
}
