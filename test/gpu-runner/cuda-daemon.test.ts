import { Client } from '@cairn/gpu-runner';
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { buildEmulatedCuda, noEmulatedCuda, NOTHING_ALIVE, SOURCES, type CudaReport } from '../support/emulated-cuda.js';
import { eventually } from '../support/eventually.js';
import { noise } from '../support/random.js';
import { folderOfFile } from '../support/temp-dir.js';
import { cairnGpu, daemonIn, Process, type Rig } from './daemon.js';
import { commit, safetensors, tensor } from './support.js';

const EXAMPLES = fileURLToPath(new URL('../../examples/gpu-consumers/', import.meta.url));
const MIB = 1 << 20;
const TENSORS = [tensor('embed', 'BF16', [1000, 64], 2, 1), tensor('norm', 'F32', [3], 4, 2), tensor('head', 'U8', [2_000_001], 1, 3)];
const FILES = {
  'm/model.safetensors': safetensors(TENSORS),
  'plain/a.bin': noise(70_000, 4),
  'plain/empty': new Uint8Array(0),
  'plain/z.bin': noise(1, 5),
};
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** As the consumer in C prints regions. */
function regionLines(...regions: Uint8Array[]): string {
  const lines = regions.map((bytes, i) => {
    let hash = 0xcbf29ce484222325n;
    for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
    return `${i} ${bytes.length} ${hash.toString(16).padStart(16, '0')}\n`;
  });
  return lines.join('');
}

const PLAIN = regionLines(FILES['plain/a.bin'], FILES['plain/empty'], FILES['plain/z.bin']);

describe.skipIf(noEmulatedCuda !== undefined)('a daemon with a GPU (emulated)', () => {
  const folder = folderOfFile();
  const consumer = join(folder, 'cuda-consumer');
  beforeAll(() => {
    const library = buildEmulatedCuda(folder);
    const flags = ['-O2', '-Wall', '-Wextra', '-Werror', `-I${join(SOURCES, 'include')}`];
    execFileSync('cc', [...flags, '-o', consumer, join(EXAMPLES, 'cuda-consumer.c'), library]);
  });

  let reports = 0;
  const environment = (settings: Record<string, string> = {}): NodeJS.ProcessEnv & { EMULATED_CUDA_REPORT: string } => ({
    LD_LIBRARY_PATH: folder,
    EMULATED_CUDA_GRANULARITY_BYTES: '65536',
    EMULATED_CUDA_REPORT: join(folder, `report-${reports++}`),
    ...settings,
  });
  const reportOf = (path: string): CudaReport => JSON.parse(fs.readFileSync(path, 'utf8')) as CudaReport;

  /** With a look at its end: whatever happened, nothing is left of it. */
  async function daemon(settings: Record<string, string> = {}): Promise<Rig & { end(): Promise<CudaReport> }> {
    const variables = environment(settings);
    const rig = await daemonIn(variables, FILES, '--device', 'cuda:0');
    const end = async (): Promise<CudaReport> => {
      rig.daemon.child.kill('SIGTERM');
      expect(await rig.daemon.ended).toMatchObject({ code: 0, stderr: '' });
      const report = reportOf(variables.EMULATED_CUDA_REPORT);
      expect({ ...report.alive, faults: report.faults }).toEqual({ ...NOTHING_ALIVE, faults: 0 });
      return report;
    };
    return { ...rig, end };
  }

  /** Runs a consumer to its end, after which it has given everything back. */
  async function consume(program: string, args: string[], settings: Record<string, string> = {}): Promise<string> {
    const variables = environment(settings);
    const output = await new Process(program, args, variables).succeeds();
    expect(reportOf(variables.EMULATED_CUDA_REPORT).alive).toMatchObject({ physical: 0, mappings: 0, reservations: 0, opened: 0 });
    return output;
  }

  it('gives every byte to consumers that map it for reading, once for all of them, and says where it is', async () => {
    const { socket, end } = await daemon();
    expect(await consume(consumer, [socket, 'models', 'plain'])).toBe(PLAIN);
    expect(await consume(consumer, [socket, 'models', 'm/model.safetensors'])).toBe(regionLines(FILES['m/model.safetensors']));
    const writer = new Process(consumer, [socket, 'models', 'plain', '--write'], environment());
    expect(await writer.succeeds()).toBe(`${PLAIN}not written\n`);
    expect(await consume(consumer, [socket, 'models', 'plain'])).toBe(PLAIN);
    using client = await Client.connect(socket);
    expect(await client.list()).toMatchObject({
      device: { id: 'cuda:0', backing: 'cuda-vmm', allocatedBytes: (2 + 1 + 33) << 16, cuda: { name: 'Emulated device 0' } },
      models: [{ users: 0 }, { users: 0 }],
    });
    const metrics = await client.metrics();
    expect(metrics).toMatch(/^cairn_gpu_loads_total 2$/m);
    expect(metrics).toMatch(/^cairn_gpu_device_info\{device="cuda:0",backing="cuda-vmm",name="Emulated device 0",uuid="GPU-e0/m);
    const { bytes } = await end();
    expect(bytes).toMatchObject({ hostToDevice: 70_001 + FILES['m/model.safetensors'].length, pageable: 0 });
  });

  it('fills memory of consumers, and keeps none of it', async () => {
    const { socket, end } = await daemon({ EMULATED_CUDA_COPY_DELAY_US: '300' });
    for (const [path, lines] of [
      ['plain', PLAIN],
      ['m/model.safetensors', regionLines(FILES['m/model.safetensors'])],
      ['plain/empty', regionLines(new Uint8Array(0))],
    ] as const)
      // prettier-ignore
      expect(await consume(consumer, [socket, 'models', path, '--fill'])).toBe(lines);
    using client = await Client.connect(socket);
    expect(await client.list()).toMatchObject({ device: { allocatedBytes: 0, lingeringBytes: 0 }, models: [] });
    expect(await client.metrics()).toMatch(/^cairn_gpu_fills_total 3$/m);
    await end();
  });

  it('shares by IPC handles where there is no virtual memory management', async () => {
    const { socket, end } = await daemon({ EMULATED_CUDA_VMM: '0' });
    expect(await consume(consumer, [socket, 'models', 'plain'])).toBe(PLAIN);
    using client = await Client.connect(socket);
    const { manifest, descriptors } = await client.load({ volume: 'models', path: 'plain' });
    expect(descriptors).toEqual([]);
    expect(manifest.regions[0]).toMatchObject({ size: 70_000, cuda: { sharing: 'ipc', handle: expect.stringMatching(/^[0-9a-f]{128}$/) } });
    const filler = await new Process(consumer, [socket, 'models', 'plain', '--fill'], environment()).ended;
    expect(filler).toMatchObject({ code: 1, stderr: expect.stringContaining('CAIRN_INVALID_ARGUMENT') });
    await end();
  });

  it('gives every tensor to a consumer of a page of TypeScript', async () => {
    const { socket, end } = await daemon();
    const output = await new Process(process.execPath, [join(EXAMPLES, 'dist', 'cuda-consumer.js'), socket, 'models', 'm/model.safetensors'], environment()).succeeds(); // prettier-ignore
    expect(output.trim().split('\n')).toEqual(TENSORS.map(({ name, dtype, shape, bytes }) => `${sha256(bytes)} ${name} ${dtype} ${JSON.stringify(shape)}`)); // prettier-ignore
    await end();
  });

  it('lets commands inherit descriptors of its memory, and the manifest says which', async () => {
    const { socket, end } = await daemon();
    const look = 'readlink /proc/self/fd/4 /proc/self/fd/5; cat $CAIRN_GPU_MANIFEST';
    const output = await cairnGpu(['run', 'models:/plain', '--socket', socket, '--', 'sh', '-c', look]).succeeds();
    const [first, second, manifest = ''] = output.split('\n').map((line) => line.replace('[sh] ', ''));
    expect([first, second]).toEqual(Array(2).fill('/memfd:emulated-cuda (deleted)'));
    const { regions } = JSON.parse(manifest) as { regions: unknown[] };
    expect(regions).toMatchObject([{ size: 70_000, cuda: { descriptor: 4, sharing: 'vmm', allocationSize: 131072 } }, { size: 0 }, { cuda: { descriptor: 5 } }]); // prettier-ignore
    await end();
  });

  it('loses nothing to consumers that die or break off at any step, or send what is no memory', async () => {
    const { socket, end, daemon: process } = await daemon({ EMULATED_CUDA_COPY_DELAY_US: '500' });
    const model = { volume: 'models', path: 'm/model.safetensors' };
    using client = await Client.connect(socket);
    const idle = (): Promise<unknown> =>
      eventually(async () => {
        const { models, device } = await client.list();
        return models.every(({ users, state }) => users === 0 && state === 'ready') && device.lingeringBytes === 0;
      });
    const lines = async (requests: object[], answers: number, last = ''): Promise<string[]> => {
      const socketOf = connect(socket);
      onTestFinished(() => void socketOf.destroy());
      let heard = '';
      const done = new Promise<void>((resolve) => {
        socketOf.on('data', (data) => {
          heard += String(data);
          if (heard.split('\n').length - 1 > answers) resolve();
        });
        socketOf.on('close', () => resolve());
      });
      for (const request of requests) socketOf.write(JSON.stringify(request) + '\n');
      await done;
      if (last !== '') {
        const more = new Promise((resolve) => socketOf.once('data', (data) => resolve((heard += String(data)))));
        socketOf.write(last);
        await more;
      }
      socketOf.destroy();
      return heard.trim().split('\n').slice(1);
    };
    const nullDescriptors = (): number => {
      const folder = `/proc/${process.child.pid}/fd`;
      return fs
        .readdirSync(folder)
        .filter((name) => fs.existsSync(`${folder}/${name}`) && fs.readlinkSync(`${folder}/${name}`) === '/dev/null').length;
    };
    const before = nullDescriptors();
    // Gone before the load has begun, or in the middle of it.
    await lines([{ id: 1, op: 'load', model }], 0);
    await idle();
    const victim = new Process(consumer, [socket, 'models', 'm/model.safetensors'], environment());
    victim.child.kill('SIGKILL');
    await victim.ended;
    await idle();
    // Gone after it was asked for its memory; and with bytes, but no descriptors.
    const [planned = ''] = await lines([{ id: 1, op: 'plan', model }], 1);
    const { key } = (JSON.parse(planned) as { manifest: { key: string } }).manifest;
    expect(await lines([{ id: 2, op: 'fill', model, key }], 1)).toEqual(['{"id":2,"send":1}']);
    const [, refused = ''] = await lines([{ id: 3, op: 'fill', model, key }], 1, '!');
    expect(JSON.parse(refused)).toMatchObject({ id: 3, error: { code: 'CAIRN_GPU_PROTOCOL' } });
    expect((await lines([{ id: 4, op: 'fill', model, key: 'x' }], 1)).map((line) => JSON.parse(line) as unknown)).toMatchObject([{ error: { code: 'CAIRN_GPU_PROTOCOL' } }]); // prettier-ignore
    // A descriptor of a plain file.
    const python = `import socket,json\ns=socket.socket(socket.AF_UNIX)\ns.connect("${socket}")\nf=s.makefile()\nf.readline()\ns.sendall(b'${JSON.stringify({ id: 5, op: 'fill', model, key })}\\n')\nf.readline()\nsocket.send_fds(s,[b'!'],[0])\nprint(f.readline())`; // prettier-ignore
    expect(JSON.parse(await new Process('python3', ['-c', python]).succeeds())).toMatchObject({ error: { code: 'CAIRN_GPU_CUDA', message: expect.stringContaining('cuMemImportFromShareableHandle') } }); // prettier-ignore
    await idle();
    expect(await consume(consumer, [socket, 'models', 'plain'])).toBe(PLAIN);
    expect(nullDescriptors()).toBe(before);
    await end();
  });

  it('that is killed leaves its memory to those who have mapped it', async () => {
    const { socket, daemon: process } = await daemon();
    const variables = environment();
    const holder = new Process(consumer, [socket, 'models', 'plain', '--hold'], variables, 'pipe');
    await holder.says(/mapped/);
    process.child.kill('SIGKILL');
    await process.ended;
    holder.child.stdin!.end();
    expect(await holder.succeeds()).toBe(`mapped\n${PLAIN}`);
    expect(reportOf(variables.EMULATED_CUDA_REPORT).alive).toMatchObject({ physical: 0, mappings: 0 });
  });

  it('tells a client of a newer version, whose memory it gets beside the old one', async () => {
    const { socket, store, end } = await daemon();
    using client = await Client.connect(socket);
    using old = await client.load({ volume: 'models', path: 'plain/a.bin' }, { watch: true });
    const told = new Promise<{ lease: number }>((resolve) => client.once('newVersion', resolve));
    await commit(store, 'models', { 'plain/a.bin': noise(70_000, 9) });
    expect(await told).toMatchObject({ lease: old.lease });
    using next = await client.load({ volume: 'models', path: 'plain/a.bin' });
    for (const [model, seed] of [
      [old, 4],
      [next, 9],
    ] as const)
      // prettier-ignore
      expect(Buffer.compare(fs.readFileSync(`/proc/self/fd/${model.descriptors[0]}`).subarray(0, 70_000), noise(70_000, seed))).toBe(0);
    old.release();
    next.release();
    await eventually(async () => (await client.list()).models.every(({ users }) => users === 0));
    await end();
  });

  it('changes a model in place for the client that alone has it: the descriptors that it has show the new version', async () => {
    const { socket, store, end } = await daemon();
    using mine = await Client.connect(socket);
    using others = await Client.connect(socket);
    using model = await mine.load({ volume: 'models', path: 'plain/a.bin' });
    const shown = (): Buffer => fs.readFileSync(`/proc/self/fd/${model.descriptors[0]}`).subarray(0, 70_000);
    expect(shown().equals(FILES['plain/a.bin'])).toBe(true);
    using other = await others.load({ volume: 'models', path: 'plain/a.bin' });
    await commit(store, 'models', { 'plain/a.bin': noise(70_000, 9) });
    await expect(mine.update(model)).rejects.toMatchObject({ code: 'CAIRN_GPU_NOT_IN_PLACE' });
    expect(shown().equals(FILES['plain/a.bin'])).toBe(true);
    other.release();
    await others.list(); // After the release.
    expect((await mine.update(model)).key).not.toBe(model.manifest.key);
    expect(shown().equals(noise(70_000, 9))).toBe(true);
    model.release();
    await eventually(async () => (await mine.list()).models.every(({ users }) => users === 0));
    await end();
  });

  it('evicts when the GPU has less memory than its budget, and says so when that does not help', async () => {
    const { socket, store, end } = await daemon({ EMULATED_CUDA_MEMORY_BYTES: String(3 * MIB) });
    await commit(store, 'models', { 'one.bin': noise(2 * MIB, 1), 'two.bin': noise(2 * MIB, 2), 'big.bin': noise(4 * MIB, 3) });
    expect(await consume(consumer, [socket, 'models', 'one.bin'])).toBe(regionLines(noise(2 * MIB, 1)));
    expect(await consume(consumer, [socket, 'models', 'two.bin'])).toBe(regionLines(noise(2 * MIB, 2)));
    using client = await Client.connect(socket);
    await expect(client.load({ volume: 'models', path: 'big.bin' })).rejects.toMatchObject({ code: 'CAIRN_GPU_MODEL_TOO_LARGE' });
    using held = await client.load({ volume: 'models', path: 'one.bin' });
    await expect(client.load({ volume: 'models', path: 'two.bin' })).rejects.toMatchObject({ code: 'CAIRN_GPU_OUT_OF_MEMORY' });
    held.release();
    await end();
  });
});

it('cairn-gpu serve says what was looked for where there is no CUDA driver', async () => {
  const { dir } = await daemonIn({}, { 'a.bin': noise(1, 1) });
  const words = ['serve', '--store', join(dir, 'store'), '--socket', join(dir, 'other.sock')];
  const absent = await cairnGpu([...words, '--device', 'cuda:0'], { CAIRN_GPU_LIBCUDA: join(dirname(dir), 'no-libcuda.so') }).ended;
  expect(absent).toMatchObject({ code: 1, stderr: expect.stringMatching(/no CUDA driver: looked for .*no-libcuda\.so/) });
  expect(await cairnGpu([...words, '--device', 'gpu']).ended).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("no device 'gpu'"),
  });
});
