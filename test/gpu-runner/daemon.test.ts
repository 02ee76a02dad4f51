import { Client, type RemoteModel } from '@cairn/gpu-runner';
import fs from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { noise } from '../support/random.js';
import { cairnGpu, daemonOn, holders, Process } from './daemon.js';
import { commit } from './support.js';
import { eventually } from '../support/eventually.js';

const MIB = 1 << 20;
const WEIGHTS = noise(8 * MIB, 1);

async function client(socket: string): Promise<Client> {
  const connected = await Client.connect(socket);
  onTestFinished(() => connected.close());
  return connected;
}

const bytesOf = (model: RemoteModel): Buffer => fs.readFileSync(`/proc/self/fd/${model.descriptors[0]}`);

describe('the daemon', () => {
  it('loads a model once for many processes, and lists and counts it', async () => {
    const { socket } = await daemonOn({ 'a.bin': WEIGHTS });
    const clients = await Promise.all([1, 2, 3].map(() => client(socket)));
    const models = await Promise.all(clients.map((one) => one.load({ volume: 'models', path: 'a.bin' })));
    for (const model of models) expect(bytesOf(model).equals(WEIGHTS)).toBe(true);
    const { models: listed, device } = await clients[0]!.list();
    expect(listed).toMatchObject([{ state: 'ready', users: 3, bytes: WEIGHTS.length }]);
    expect(device).toMatchObject({ backing: 'memfd', allocatedBytes: WEIGHTS.length });
    const text = await clients[0]!.metrics();
    expect(text).toMatch(/^cairn_gpu_loads_total 1$/m);
    expect(text).toMatch(/^cairn_gpu_hits_total 2$/m);
    expect(text).toMatch(/^# TYPE cairn_gpu_memory_bytes gauge$/m);
    expect(text).toMatch(/^cairn_gpu_load_stage_seconds_total\{stage="read"\} [\d.]*[1-9]/m);
    expect(text).toMatch(/^cairn_gpu_stalls_total 0$/m);
    expect(text).toMatch(new RegExp(`^cairn_gpu_memory_bytes{state="allocated"} ${WEIGHTS.length}$`, 'm'));
  });

  it('frees the leases of a consumer that is killed, and gives its memory to the next model', async () => {
    const { socket, store } = await daemonOn({ 'a.bin': WEIGHTS }, '--budget', '12M');
    const victim = cairnGpu(['load', 'models:/a.bin', '--hold', '--socket', socket]);
    await victim.says(/manifest/);
    const watching = await client(socket);
    expect((await watching.list()).models).toMatchObject([{ users: 1 }]);
    await commit(store, 'models', { 'b.bin': noise(9 * MIB, 2) });
    await expect(watching.load({ volume: 'models', path: 'b.bin' })).rejects.toMatchObject({ code: 'CAIRN_GPU_OUT_OF_MEMORY' });
    victim.child.kill('SIGKILL');
    await eventually(async () => (await watching.list()).models[0]?.users === 0);
    expect(bytesOf(await watching.load({ volume: 'models', path: 'b.bin' })).equals(noise(9 * MIB, 2))).toBe(true);
  });

  it('that is killed leaves no memory behind, and its consumers what they have', async () => {
    const { socket, daemon, dir } = await daemonOn({ 'a.bin': WEIGHTS });
    const consumer = await client(socket);
    const model = await consumer.load({ volume: 'models', path: 'a.bin' });
    const closed = new Promise((resolve) => consumer.once('close', () => resolve(undefined)));
    const { ino } = fs.fstatSync(model.descriptors[0]!);
    expect(holders(ino)).toEqual(expect.arrayContaining([process.pid, daemon.child.pid]));
    daemon.child.kill('SIGKILL');
    await closed;
    await expect(consumer.list()).rejects.toMatchObject({ code: 'CAIRN_GPU_NO_DAEMON' });
    expect(bytesOf(model).equals(WEIGHTS)).toBe(true);
    await eventually(() => holders(ino).join() === String(process.pid));
    model.release();
    expect(holders(ino)).toEqual([]);
    // Another one starts where the killed one was.
    await cairnGpu(['serve', '--store', join(dir, 'store'), '--socket', socket]).says(/serving/);
    await client(socket);
  });

  it('ends when asked to, and refuses to listen where another does', async () => {
    const { socket, daemon, dir } = await daemonOn({ 'a.bin': WEIGHTS }, '--preload', 'models:/a.bin', '--metrics-port', '0');
    const [, port] = await daemon.says(/127\.0\.0\.1:(\d+)/);
    await daemon.says(/loaded models/);
    expect(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).toMatch(/^cairn_gpu_models 1$/m);
    const second = await cairnGpu(['serve', '--store', join(dir, 'store'), '--socket', socket]).ended;
    expect([second.code, second.stderr]).toEqual([7, expect.stringContaining('already')]);
    daemon.child.kill('SIGTERM');
    expect(await daemon.ended).toMatchObject({ code: 0, stderr: '' });
    expect(fs.existsSync(socket)).toBe(false);
    const nobody = await cairnGpu(['list', '--socket', socket]).ended;
    expect([nobody.code, nobody.stderr]).toEqual([1, expect.stringContaining('cairn-gpu serve')]);
  });

  it('tells who watches a model that there is a newer version, and leaves the old one as it is', async () => {
    const { socket, store } = await daemonOn({ 'a.bin': WEIGHTS });
    const consumer = await client(socket);
    const old = await consumer.load({ volume: 'models', path: 'a.bin' }, { watch: true });
    const told = new Promise<{ lease: number; snapshot: string }>((resolve) => consumer.once('newVersion', resolve));
    await commit(store, 'models', { 'unrelated.bin': noise(10, 1) });
    const changed = WEIGHTS.with(4 * MIB, WEIGHTS[4 * MIB]! ^ 1);
    const { base } = await commit(store, 'models', { 'a.bin': changed });
    expect(await told).toMatchObject({ lease: old.lease, snapshot: base!.id });
    const next = await consumer.load({ volume: 'models', path: 'a.bin' });
    expect(bytesOf(next).equals(changed)).toBe(true);
    expect(bytesOf(old).equals(WEIGHTS)).toBe(true);
    const reused = /^cairn_gpu_reused_bytes_total (\d+)$/m.exec(await consumer.metrics())?.[1];
    expect(Number(reused)).toBeGreaterThan(6 * MIB);
  });

  it('answers nonsense with errors, and serves others on', async () => {
    const { socket } = await daemonOn({ 'a.bin': WEIGHTS });
    const say = (text: string): Promise<string> =>
      new Promise((resolve, reject) => {
        let heard = '';
        const connection = connect(socket, () => connection.write(text));
        connection.on('data', (data) => {
          heard += String(data);
          if (heard.trim().split('\n').length > 1) connection.end();
        });
        connection.on('close', () => resolve(heard.trim().split('\n').at(-1)!)).on('error', reject);
      });
    for (const [text, code] of [
      ['nonsense\n', 'CAIRN_GPU_PROTOCOL'],
      ['[]\n', 'CAIRN_GPU_PROTOCOL'],
      ['{"op":"list"}\n', 'CAIRN_GPU_PROTOCOL'],
      ['{"id":1,"op":"fly"}\n', 'CAIRN_GPU_PROTOCOL'],
      ['{"id":1,"cairn":2,"op":"list"}\n', 'CAIRN_GPU_PROTOCOL'],
      ['{"id":1,"op":"load"}\n', 'CAIRN_GPU_PROTOCOL'],
      ['{"id":1,"op":"load","model":{"volume":"models"}}\n', 'CAIRN_INVALID_ARGUMENT'],
      ['{"id":1,"op":"load","model":{"volume":"models","path":"a.bin","slice":{"rank":2,"worldSize":2}}}\n', 'CAIRN_INVALID_ARGUMENT'],
      ['{"id":1,"op":"load","model":{"volume":"models","path":"../a.bin"}}\n', 'CAIRN_INVALID_PATH'],
      ['{"id":1,"op":"load","model":{"volume":"models","ref":"HEAD~9","path":"a.bin"}}\n', 'CAIRN_GPU_MODEL_NOT_FOUND'],
      ['x'.repeat(MIB + 1), 'CAIRN_GPU_PROTOCOL'],
    ])
      expect([text!.slice(0, 80), JSON.parse(await say(text!))]).toMatchObject([text!.slice(0, 80), { error: { code } }]);
    await (await client(socket)).load({ volume: 'models', path: 'a.bin' });
  });

  it.runIf(process.getuid?.() === 0)('refuses other users, by what the kernel says of them', async () => {
    const { socket, dir } = await daemonOn({ 'a.bin': WEIGHTS });
    // As far open as can be: what refuses is not the mode of the file.
    for (const path of [dir, join(dir, 'run')]) fs.chmodSync(path, 0o755);
    fs.chmodSync(socket, 0o777);
    const attempt = `import socket,os\nos.setuid(65534)\ns=socket.socket(socket.AF_UNIX)\ns.connect("${socket}")\nprint(s.recv(4096).decode())`;
    const answer = await new Process('python3', ['-c', attempt]).succeeds();
    expect(JSON.parse(answer)).toMatchObject({ error: { code: 'CAIRN_GPU_REFUSED' } });
  });
});
