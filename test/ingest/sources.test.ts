import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, mkdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { describe, expect, it, onTestFinished } from 'vitest';
import { isCairnError } from '../../packages/core/dist/errors.js';
import { IngestTally, type LocalSource } from '../../packages/core/dist/ingest/ingest.js';
import type { Progress } from '../../packages/core/dist/types.js';
import type { FaultyDiskOptions } from '../support/faulty-disk.mjs';
import { tempDir } from '../support/temp-dir.js';
import { leftovers, openEngine, randomBytes, readBack, sharedEngine, source, sourcesOf, storeAll, type TestEngine } from './support.js';

const MIB = 1 << 20;
const FAULTY = new URL('../support/faulty-disk.mjs', import.meta.url).href;
const DYING = new URL('./dying-disk.mjs', import.meta.url).href;

/** Stores what it can, and returns the code of each source that failed, by path. */
async function faultsOf(engine: TestEngine, sources: LocalSource[]): Promise<Map<string, string>> {
  const faults = new Map<string, string>();
  for await (const outcomes of engine.ingest.files(sources, { sink: engine.staging, faults: 'yield' })) {
    for (const outcome of outcomes) faults.set(outcome.source.path, 'error' in outcome ? outcome.error.code : 'stored');
  }
  return faults;
}

/** Writes into files every millisecond, on a thread of its own, until the test is done. */
async function keepWriting(...paths: string[]): Promise<void> {
  const code = `const { writeSync, openSync } = require('node:fs');
    const { parentPort, workerData } = require('node:worker_threads');
    const fds = workerData.map((path) => openSync(path, 'r+'));
    for (let i = 0; ; i++) {
      for (const fd of fds) writeSync(fd, Buffer.from([i]), 0, 1, i % 1000);
      if (i === 0) parentPort.postMessage('writing');
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }`;
  const worker = new Worker(code, { eval: true, workerData: paths });
  onTestFinished(async () => void (await worker.terminate()));
  await once(worker, 'message');
}

describe('a source that cannot be read', () => {
  const engineOf = sharedEngine();
  it('fails with the code of node:fs and its local path, and the others are stored', async () => {
    const engine = engineOf();
    const dir = tempDir();
    const path = (name: string): LocalSource => ({ path: join(dir, name), stat: { size: 10 } });
    writeFileSync(join(dir, 'good'), 'good');
    mkdirSync(join(dir, 'folder'));
    execFileSync('mkfifo', [join(dir, 'pipe')]);
    const sources = ['missing', 'folder', 'pipe', 'good/below', 'good'].map(path);
    expect([...(await faultsOf(engine, sources)).values()]).toEqual(['ENOENT', 'EISDIR', 'EINVAL', 'ENOTDIR', 'stored']);
    await expect(storeAll(engine, [sources[0]!])).rejects.toMatchObject({ code: 'ENOENT', path: sources[0]!.path });
  });

  it('is treated alike when it is large', async () => {
    const engine = engineOf();
    const dir = tempDir();
    mkdirSync(join(dir, 'folder'));
    const sources = ['missing', 'folder'].map((name) => ({ path: join(dir, name), stat: { size: 400 * MIB } }));
    expect([...(await faultsOf(engine, sources)).values()].sort()).toEqual(['EISDIR', 'ENOENT']);
    await expect(storeAll(engine, [sources[0]!])).rejects.toMatchObject({ code: 'ENOENT', path: sources[0]!.path });
  });
});

describe('a source that changes', () => {
  const engineOf = sharedEngine();
  it('while it is read, again and again, is an error and never half a file', async () => {
    const engine = engineOf();
    // Long enough to be read that the writer has its turns meanwhile, also on a busy machine.
    const [whole, parted] = sourcesOf({ whole: randomBytes(15 * MIB, 1), parted: randomBytes(60 * MIB, 2) });
    await keepWriting(whole!.path, parted!.path);
    const faults = await faultsOf(engine, [whole!, parted!]);
    expect([...faults.values()]).toEqual(['CAIRN_SOURCE_CHANGED', 'CAIRN_SOURCE_CHANGED']);
    await expect(storeAll(engine, [parted!])).rejects.toMatchObject({ code: 'CAIRN_SOURCE_CHANGED', path: parted!.path });
  });

  it('between being listed and being read is stored as it is when it is read', async () => {
    const engine = engineOf();
    const [grown, shrunk] = sourcesOf({ grown: randomBytes(1000, 1), shrunk: randomBytes(40 * MIB, 2) });
    appendFileSync(grown!.path, 'more');
    truncateSync(shrunk!.path, 5);
    const outcomes = new Map<string, number>();
    for await (const stored of engine.ingest.files([grown!, shrunk!], { sink: engine.staging })) {
      for (const { source, content, stat } of stored) {
        expect(stat.size).toBe(content.length);
        outcomes.set(source.path, content.length);
      }
    }
    expect([...outcomes.values()].sort()).toEqual([1004, 5]);
  });
});

describe('a call that ends early', () => {
  const engineOf = sharedEngine();
  // Always new bytes: what is stored already takes no time.
  let seed = 1000;
  const sources = (): LocalSource[] =>
    sourcesOf(Object.fromEntries(Array.from({ length: 12 }, (_, i) => [`f${i}`, randomBytes(9 * MIB, seed++)])));

  it('rejects with the reason of the abort and leaves no unfinished file', async () => {
    const engine = engineOf();
    const controller = new AbortController();
    const options = { sink: engine.staging, signal: controller.signal };
    const run = (async () => {
      for await (const _stored of engine.ingest.files(sources(), options)) controller.abort(new Error('stop'));
    })();
    await expect(run).rejects.toThrow('stop');
    expect(leftovers(engine)).toEqual([]);
    await expect(storeAll(engine, [])).resolves.toEqual(new Map());
    expect(() => controller.signal.throwIfAborted()).toThrow('stop');
    await expect(engine.ingest.files([], options).next()).rejects.toThrow('stop');
  });

  it('is called off when the consumer leaves the loop', async () => {
    const engine = engineOf();
    for await (const stored of engine.ingest.files(sources(), { sink: engine.staging })) {
      expect(stored.map(({ content }) => content.length)).toEqual([9 * MIB]);
      break;
    }
    expect(leftovers(engine)).toEqual([]);
  });

  it('is called off while it waits for sources that never come', async () => {
    const engine = engineOf();
    async function* endless(): AsyncGenerator<LocalSource[]> {
      yield sources().slice(0, 3);
      await new Promise(() => undefined);
    }
    const signal = AbortSignal.timeout(50);
    await expect(
      (async () => {
        for await (const _stored of engine.ingest.files(endless(), { sink: engine.staging, signal }));
      })(),
    ).rejects.toMatchObject({ name: 'TimeoutError' });
    expect(leftovers(engine)).toEqual([]);
  });

  it('fails with what the list of sources throws', async () => {
    const engine = engineOf();
    async function* broken(): AsyncGenerator<LocalSource[]> {
      yield sources().slice(0, 2);
      await new Promise(setImmediate);
      throw new Error('cannot list');
    }
    await expect(
      (async () => {
        for await (const _stored of engine.ingest.files(broken(), { sink: engine.staging }));
      })(),
    ).rejects.toThrow('cannot list');
    expect(leftovers(engine)).toEqual([]);
  });
});

describe('progress', () => {
  const engineOf = sharedEngine();
  it('grows while large files are stored and ends with the whole', async () => {
    const engine = engineOf();
    const bytes = randomBytes(70 * MIB, 8);
    const reports: Progress[] = [];
    const options = { sink: engine.staging, onProgress: (progress: Progress) => reports.push(progress) };
    for await (const _stored of engine.ingest.files(sourcesOf({ bytes }), options));
    expect(reports.at(-1)).toEqual({ phase: 'storing', bytes: bytes.byteLength, files: 1, newBytes: bytes.byteLength });
    expect(reports.map((progress) => progress.bytes)).toEqual(reports.map((progress) => progress.bytes).sort((a, b) => a - b));
    // A callback that throws fails the call.
    const failing = {
      sink: engine.staging,
      onProgress: () => {
        throw new Error('no more');
      },
    };
    await expect(
      (async () => {
        for await (const _stored of engine.ingest.files(sourcesOf({ bytes }), failing));
      })(),
    ).rejects.toThrow('no more');
  });
});

describe('a fault of the store', () => {
  it.each([
    ['ENOSPC', 2, 'write'],
    ['short', 1, 'write'],
    ['EMFILE', 1, 'create'],
    ['EIO', 2, 'write'],
    ['EIO', 1, 'sync'],
    ['EIO', 1, 'rename'],
  ] as const)(
    '%s at %i. %s fails the call, publishes nothing of that pack, and a later call stores it all',
    async (error, failAt, kind) => {
      const bytes = { a: randomBytes(6 * MIB, 1), b: randomBytes(21 * MIB, 2) };
      const sources = sourcesOf(bytes);
      const options: FaultyDiskOptions = { failAt, kinds: [kind], error, counter: new SharedArrayBuffer(4) };
      const engine = await openEngine({ disk: { durable: true, module: FAULTY, options } });
      await expect(storeAll(engine, sources)).rejects.toMatchObject({ code: error === 'short' ? 'ENOSPC' : error });
      expect(leftovers(engine)).toEqual([]);
      const contents = await storeAll(engine, sources);
      for (const [i, wanted] of Object.values(bytes).entries()) {
        expect(Buffer.compare(await readBack(engine, contents.get(sources[i]!.path)!), wanted)).toBe(0);
      }
    },
  );

  it('a worker that dies fails its call alone, and the next call has a new one', async () => {
    const flag = join(tempDir(), 'die');
    writeFileSync(flag, '');
    const engine = await openEngine({ disk: { durable: false, module: DYING, options: { flag } } });
    const sources = sourcesOf({ a: randomBytes(6 * MIB, 1), b: randomBytes(30 * MIB, 2) });
    const failure = await storeAll(engine, sources).catch((error: unknown) => error);
    expect(isCairnError(failure, 'CAIRN_WORKER_DIED')).toBe(true);
    rmSync(flag);
    const tally = new IngestTally();
    const contents = await storeAll(engine, sources, tally);
    expect(tally.newBytes).toBe(36 * MIB);
    expect((await readBack(engine, contents.get(source(sources[1]!.path).path)!)).byteLength).toBe(30 * MIB);
  });
});
