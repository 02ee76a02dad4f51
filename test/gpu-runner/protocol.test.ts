import { isCairnError, type Store } from '@cairn/core';
import { checkRequest, Client, planLoad, startDaemon, type LoadRequest, type RunningDaemon } from '@cairn/gpu-runner';
import fc from 'fast-check';
import fs from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { LineReader, parseRequest } from '../../packages/gpu-runner/src/protocol/messages.js';
import { eventually } from '../support/eventually.js';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { commit, safetensors, tensor, testStore } from './support.js';

const MIB = 1 << 20;

async function daemon(files: Record<string, Uint8Array | string>): Promise<{ store: Store; daemon: RunningDaemon; socketPath: string }> {
  const store = await testStore();
  await commit(store, 'models', files);
  const socketPath = join(tempDir(), 'gpu.sock');
  const running = await startDaemon({ store, socketPath, budgetBytes: 512 * MIB });
  onTestFinished(() => running.close());
  return { store, daemon: running, socketPath };
}

function raw(socketPath: string): { socket: Socket; lines: string[]; closed: Promise<void> } {
  const socket = connect(socketPath).on('error', () => undefined);
  onTestFinished(() => void socket.destroy());
  const [lines, reader] = [[] as string[], new LineReader(64 * MIB)];
  socket.on('data', (chunk) => lines.push(...reader.push(chunk)));
  return { socket, lines, closed: new Promise((resolve) => socket.once('close', () => resolve())) };
}

/** Values as a hostile or broken peer could put them anywhere. */
const anything = fc.jsonValue({ maxDepth: 3 });
const model = fc.record(
  {
    volume: fc.oneof(fc.constant('models'), anything),
    path: fc.oneof(fc.constantFrom('m.safetensors', '', '/', '..', 'a.bin'), anything),
    ref: anything,
    layout: fc.oneof(fc.constantFrom('files', 'tensors'), anything),
    include: fc.oneof(
      fc.array(fc.string()),
      fc.constant(['*'.repeat(7)]),
      fc.constant(['+(a|+(b|c))']),
      fc.constant(['{a,b', '[']),
      anything,
    ),
    tensors: fc.oneof(fc.constant(['t']), anything),
    slice: fc.oneof(fc.record({ rank: anything, worldSize: anything, rows: anything }, { requiredKeys: [] }), anything),
    alignmentBytes: fc.oneof(fc.constantFrom(0, -1, 1.5, 2 ** 40, 256), anything),
    maxRegionBytes: anything,
  },
  { requiredKeys: [] },
);
const request = fc.record(
  {
    id: fc.oneof(fc.nat(), anything),
    op: fc.oneof(fc.constantFrom('load', 'plan', 'update', 'release', 'list', 'metrics', 'fly', '__proto__', 'constructor'), anything),
    model: fc.oneof(model, anything),
    lease: anything,
    key: anything,
    cairn: fc.oneof(fc.constantFrom(1, 2), anything),
    watch: anything,
  },
  { requiredKeys: ['id', 'op'] },
);

describe('messages', () => {
  it('are the lines of a stream, however it is cut; a line over the limit is a typed error before it is kept', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.array(fc.nat(40), { minLength: 1 }),
        fc.integer({ min: 1, max: 60 }),
        (bytes, cuts, limit) => {
          const stream = Buffer.from(bytes.map((byte) => (byte % 5 === 0 ? 10 : byte)));
          const expected = stream.toString('latin1').split('\n').slice(0, -1);
          const tooLong = stream.toString('latin1').split('\n').some((line) => line.length > limit); // prettier-ignore
          const reader = new LineReader(limit);
          const found: string[] = [];
          let error: unknown;
          try {
            for (let at = 0, i = 0; at < stream.length; i++) {
              const end = at + 1 + cuts[i % cuts.length]!;
              for (const line of reader.push(stream.subarray(at, end))) found.push(line);
              at = end;
            }
          } catch (caught) {
            error = caught;
          }
          expect(isCairnError(error) && (error.code as string) === 'CAIRN_GPU_PROTOCOL').toBe(tooLong);
          const texts = expected.map((line) => Buffer.from(line, 'latin1').toString('utf8')).filter((line) => line.trim() !== '');
          if (tooLong) expect(texts.slice(0, found.length)).toEqual(found);
          else expect(found).toEqual(texts);
        },
      ),
    );
  });

  it('that are no requests are typed errors, and what passes can be planned or is refused by a typed error', () => {
    const source = { path: 'm', files: [], tensors: [] };
    const typed = (work: () => unknown): void => {
      try {
        work();
      } catch (error) {
        if (!isCairnError(error)) throw error;
      }
    };
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string(),
          fc.json(),
          request.map((value) => JSON.stringify(value)),
        ),
        (line) => typed(() => parseRequest(line)),
      ),
      { numRuns: 1000 },
    );
    fc.assert(
      fc.property(fc.oneof(model, anything), (value) =>
        typed(() => planLoad(source, checkRequest(JSON.parse(JSON.stringify(value)) as LoadRequest))),
      ),
      { numRuns: 1000 },
    );
  });

  it('with patterns that would take forever are refused at once', () => {
    for (const pattern of ['*a'.repeat(30) + 'b', 'x'.repeat(1001), ''])
      expect(() => checkRequest({ path: 'm', include: [pattern] }), pattern.slice(0, 20)).toThrow(
        expect.objectContaining({ code: 'CAIRN_INVALID_ARGUMENT' }),
      );
    expect(() => checkRequest({ path: 'm', include: Array.from({ length: 1001 }, () => 'a') })).toThrow();
    // Extended globs, whose repetitions of repetitions may take forever to fail, mean nothing.
    const tensors = [{ name: 'aaaa', dtype: 'U8', shape: [1], path: 'm', offset: 0, size: 1, contentId: '' as never }];
    const source = { path: 'm', files: [], tensors };
    expect(() => planLoad(source, { path: 'm', include: ['+(+(a))'] })).toThrow(
      expect.objectContaining({ code: 'CAIRN_GPU_TENSOR_NOT_FOUND' }),
    );
  });
});

describe('a daemon', () => {
  it('answers hostile requests with typed errors, keeps nothing of them, and serves on', async () => {
    const file = safetensors([tensor('t', 'F32', [8, 4], 4, 1)]);
    const { daemon: running, socketPath } = await daemon({ 'm.safetensors': file, 'a.bin': noise(1000, 1) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.oneof(
            request.map((value) => JSON.stringify(value)),
            fc.json(),
            fc.string(),
          ),
          { minLength: 1, maxLength: 8 },
        ),
        async (requests) => {
          const { socket, lines, closed } = raw(socketPath);
          socket.end(requests.map((text) => text.replaceAll('\n', ' ') + '\n').join(''));
          await closed;
          expect(JSON.parse(lines[0]!)).toMatchObject({ cairn: 1 });
          for (const line of lines.slice(1)) {
            const { error } = JSON.parse(line) as { error?: { code: string; hint: string } };
            if (error !== undefined)
              expect([error.code, error.hint]).toEqual([expect.stringMatching(/^(CAIRN_|E[A-Z]+$)/), expect.not.stringContaining('bug')]);
          }
        },
      ),
      { numRuns: 60 },
    );
    const client = await Client.connect(socketPath);
    onTestFinished(() => client.close());
    const served = await client.load({ volume: 'models', path: 'm.safetensors' });
    expect(fs.readFileSync(`/proc/self/fd/${served.descriptors[0]}`).equals(file)).toBe(true);
    await eventually(() => running.service.registry.list().reduce((sum, { users }) => sum + users, 0) === 1);
  }, 120_000);

  it('hangs up on a consumer that asks and asks, and does not read', async () => {
    const { socketPath } = await daemon({ 'a.bin': noise(1000, 1) });
    const { socket, closed } = raw(socketPath);
    socket.pause();
    const line = JSON.stringify({ id: 1, op: 'metrics' }) + '\n';
    const write = (): void => {
      while (!socket.destroyed && socket.write(line.repeat(100)));
      if (!socket.destroyed) socket.once('drain', write);
    };
    write();
    // A socket that is not read does not tell that it was closed; writing to it does.
    socket.once('error', () => socket.destroy());
    await closed;
    const client = await Client.connect(socketPath);
    expect((await client.list()).models).toEqual([]);
    client.close();
  });

  it('lets go of what a consumer wanted that dies while it is loaded', async () => {
    const bytes = noise(80 * MIB, 1);
    const { daemon: running, socketPath } = await daemon({ 'a.bin': bytes });
    const { socket } = raw(socketPath);
    socket.write(JSON.stringify({ id: 1, op: 'load', model: { volume: 'models', path: 'a.bin' } }) + '\n');
    await eventually(() => running.service.registry.list()[0]?.users === 1);
    socket.destroy();
    await eventually(() => running.service.registry.list().every(({ users, state }) => users === 0 && state === 'ready'));
    const client = await Client.connect(socketPath);
    const model = await client.load({ volume: 'models', path: 'a.bin' });
    expect(fs.readFileSync(`/proc/self/fd/${model.descriptors[0]}`).equals(bytes)).toBe(true);
    client.close();
  });

  it('changes a model in place for the consumer that alone has it, and only then', async () => {
    const bytes = noise(20 * MIB, 1);
    const { store, socketPath } = await daemon({ 'a.bin': bytes });
    const [one, two] = [await Client.connect(socketPath), await Client.connect(socketPath)];
    onTestFinished(() => [one, two].forEach((client) => client.close()));
    const mine = await one.load({ volume: 'models', path: 'a.bin' });
    const content = (): Buffer => fs.readFileSync(`/proc/self/fd/${mine.descriptors[0]}`);
    expect((await one.update(mine)).key).toBe(mine.manifest.key);
    const changed = bytes.with(5 * MIB, bytes[5 * MIB]! ^ 1);
    const other = await two.load({ volume: 'models', path: 'a.bin' });
    await commit(store, 'models', { 'a.bin': changed });
    await expect(one.update(mine)).rejects.toMatchObject({ code: 'CAIRN_GPU_NOT_IN_PLACE' });
    await expect(one.update(other)).rejects.toMatchObject({ code: expect.stringMatching(/NOT_IN_PLACE|PROTOCOL/) });
    expect(content().equals(bytes)).toBe(true);
    other.release();
    await two.list(); // After the release.
    const { key, snapshot } = await one.update(mine);
    expect([key, snapshot]).not.toContain(mine.manifest.key);
    expect(content().equals(changed)).toBe(true);
    const again = await two.load({ volume: 'models', path: 'a.bin' });
    expect([again.shared, again.manifest.key]).toEqual([true, key]);
  });

  it('answers every request once, also those about a lease that is just being updated or let go', async () => {
    const bytes = noise(2 * MIB, 1);
    const { store, daemon: running, socketPath } = await daemon({ 'a.bin': bytes });
    const cases: [seed: number, requests: string[], answers: unknown[]][] = [
      [2, ['update', 'update'], [undefined, 'CAIRN_GPU_PROTOCOL']],
      [3, ['update', 'release', 'update'], [expect.stringMatching(/CAIRN_GPU_PROTOCOL|CAIRN_CLOSED/), undefined, 'CAIRN_GPU_PROTOCOL']],
      [4, ['release', 'update', 'release'], [undefined, 'CAIRN_GPU_PROTOCOL', undefined]],
    ];
    for (const [seed, requests, answers] of cases) {
      const { socket, lines } = raw(socketPath);
      socket.write(JSON.stringify({ id: 0, op: 'load', model: { volume: 'models', path: 'a.bin' } }) + '\n');
      await eventually(() => lines.length === 2);
      await commit(store, 'models', { 'a.bin': noise(2 * MIB, seed) });
      socket.write(requests.map((op, i) => JSON.stringify({ id: i + 1, op, lease: 1 }) + '\n').join(''));
      await eventually(() => lines.length === 2 + requests.length);
      const heard = lines.slice(2).map((line) => JSON.parse(line) as { id: number; error?: { code: string } });
      heard.sort((a, b) => a.id - b.id);
      expect(heard.map(({ id, error }) => [id, error?.code])).toEqual(answers.map((code, i) => [i + 1, code]));
      const isHeld = !requests.includes('release');
      await eventually(() => running.service.registry.list().reduce((sum, { users }) => sum + users, 0) === Number(isHeld));
      socket.destroy();
      await eventually(() => running.service.registry.list().every(({ users }) => users === 0));
      running.service.registry.evictIdle();
    }
  });

  it('says which file of a sharded model is missing', async () => {
    const { socketPath } = await daemon({ 'm/model.safetensors.index.json': '{"weight_map": {"a": "1.safetensors"}}' });
    const client = await Client.connect(socketPath);
    onTestFinished(() => client.close());
    await expect(client.load({ volume: 'models', path: 'm/model.safetensors.index.json' })).rejects.toMatchObject({
      code: 'CAIRN_GPU_MODEL_NOT_FOUND',
      message: expect.stringContaining('m/1.safetensors'),
    });
  });
});

describe('a client', () => {
  async function against(serve: (socket: Socket) => void): Promise<unknown> {
    const socketPath = join(tempDir(), 'fake.sock');
    const server = createServer((socket) => {
      socket.on('error', () => undefined);
      serve(socket);
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    onTestFinished(() => void server.close());
    const client = await Client.connect(socketPath).catch((error: unknown) => error);
    if (!(client instanceof Client)) return client;
    return client.list().catch((error: unknown) => error).finally(() => client.close()); // prettier-ignore
  }
  const greeting = { cairn: 1, pid: 1, device: { id: 'host' } };

  it.each([
    ['another version of the protocol', [{ ...greeting, cairn: 2 }], 'CAIRN_GPU_PROTOCOL'],
    ['no JSON', ['nonsense'], 'CAIRN_GPU_PROTOCOL'],
    ['a refusal', [{ error: { code: 'CAIRN_GPU_REFUSED', message: 'no', hint: 'x' } }], 'CAIRN_GPU_REFUSED'],
    ['an error without words', [{ error: 5 }], 'CAIRN_GPU_PROTOCOL'],
    ['nothing', [], 'CAIRN_GPU_NO_DAEMON'],
    ['a greeting and then nothing', [greeting], 'CAIRN_GPU_NO_DAEMON'],
    ['a greeting and then nonsense', [greeting, 'nonsense'], 'CAIRN_GPU_PROTOCOL'],
    ['answers that nobody asked for', [greeting, { id: 77 }, { event: 'party' }, {}], 'CAIRN_GPU_NO_DAEMON'],
  ])('that is told %s by the other side fails by a typed error', async (_what, messages, code) => {
    const text = messages.map((message) => (typeof message === 'string' ? message : JSON.stringify(message)) + '\n').join('');
    expect(await against((socket) => socket.end(text))).toMatchObject({ code });
  });
});
