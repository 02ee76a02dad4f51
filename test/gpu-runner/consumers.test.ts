import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { noise } from '../support/random.js';
import { cairnGpu, daemonOn, Process } from './daemon.js';
import { safetensors, tensor } from './support.js';

const EXAMPLES = fileURLToPath(new URL('../../examples/gpu-consumers/', import.meta.url));
const TENSORS = [tensor('embed', 'BF16', [1000, 64], 2, 1), tensor('norm', 'F32', [3], 4, 2), tensor('head', 'U8', [2_000_001], 1, 3)];
const FILES = { 'm/model.safetensors': safetensors(TENSORS), 'plain/a.bin': noise(70_000, 4), 'plain/empty': new Uint8Array(0) };
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Names to digests, as the consumers print them. */
function digests(output: string): Record<string, string> {
  const pairs = output
    .trim()
    .split('\n')
    .map((line): [string, string] => {
      const [digest = '', name = ''] = line.split(' ');
      return [name, digest];
    });
  return Object.fromEntries(pairs);
}

const tensorDigests = Object.fromEntries(TENSORS.map(({ name, bytes }) => [name, sha256(bytes)]));

describe.each([
  ['TypeScript', (): [string, string[]] => [process.execPath, [join(EXAMPLES, 'dist', 'consumer.js')]]],
  ['Python', (): [string, string[]] => ['python3', [join(EXAMPLES, 'consumer.py')]]],
])('a consumer of a page of %s', (_language, command) => {
  it('gets every byte of every tensor and file', async () => {
    const { socket } = await daemonOn(FILES);
    const [program, args] = command();
    const consume = async (path: string): Promise<Record<string, string>> =>
      digests(await new Process(program, [...args, socket, 'models', path]).succeeds());
    expect(await consume('m/model.safetensors')).toEqual(tensorDigests);
    expect(await consume('plain')).toEqual({ 'plain/a.bin': sha256(FILES['plain/a.bin']), 'plain/empty': sha256(FILES['plain/empty']) });
    expect((await new Process(program, [...args, socket, 'models', 'missing']).ended).stderr).toMatch(/no model/);
  });
});

it('a consumer of a page of C maps the regions that it was sent', async () => {
  const { socket, dir } = await daemonOn(FILES);
  const program = join(dir, 'consumer');
  await new Process('cc', ['-O2', '-Wall', '-Wextra', '-Werror', '-o', program, join(EXAMPLES, 'consumer.c')]).succeeds();
  const output = await new Process(program, [socket, 'models', 'plain']).succeeds();
  let hash = 0xcbf29ce484222325n;
  for (const byte of FILES['plain/a.bin']) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  expect(output).toBe(`0 70000 ${hash.toString(16).padStart(16, '0')}\n1 0 cbf29ce484222325\n`);
  expect((await new Process(program, [socket, 'nobody', 'x']).ended).code).toBe(1);
});

describe('cairn-gpu run', () => {
  it('starts commands that inherit the model, each with its paths, from the daemon or without one', async () => {
    const { socket, dir } = await daemonOn(FILES);
    const python = ['--', 'python3', join(EXAMPLES, 'consumer.py')];
    for (const from of [
      ['--socket', socket],
      ['--store', join(dir, 'store')],
    ]) {
      const environment = { CAIRN_GPU_SOCKET: join(dir, 'nobody-here') };
      const output = await cairnGpu(['run', 'models:/m/model.safetensors', ...from, '-n', '2', ...python], environment).succeeds();
      const lines = output.trim().split('\n');
      for (const process of [0, 1]) {
        const mine = lines.filter((line) => line.startsWith(`[python3-${process}] `)).map((line) => line.replace(/^\S+ /, ''));
        expect(digests(mine.join('\n'))).toEqual(tensorDigests);
      }
      const cat = await cairnGpu(['run', 'models:/plain/a.bin', ...from, '--', 'sha256sum', '{}'], environment).succeeds();
      expect(cat).toMatch(new RegExp(`^\\[sha256sum\\] ${sha256(FILES['plain/a.bin'])}  /proc/self/fd/4`));
    }
  });

  it('starts a command again that fails, ends it when asked to, and tells its exit code', async () => {
    const { socket } = await daemonOn(FILES);
    const run = (...words: string[]): Process => cairnGpu(['run', 'models:/plain/a.bin', '--socket', socket, ...words]);
    expect(await run('--restart', 'never', '--', 'sh', '-c', 'exit 7').ended).toMatchObject({ code: 7 });
    const failing = run('--', 'sh', '-c', 'echo again; sleep 0.1; exit 3');
    await failing.says(/again[^]*again[^]*again/);
    failing.child.kill('SIGTERM');
    expect(await failing.ended).toMatchObject({ code: 143 });
    const deaf = run('--grace', '0.3', '--', 'sh', '-c', 'trap "" TERM; echo here; while :; do sleep 0.1; done');
    await deaf.says(/here/);
    deaf.child.kill('SIGINT');
    expect(await deaf.ended).toMatchObject({ code: 130 });
    expect(await run('--', '/no/such/command').ended).toMatchObject({ code: 1 });
  }, 30_000);
});
