import fs from 'node:fs';
import path from 'node:path';
import type { Readable } from 'node:stream';
import type { ReadView, TensorInfo, Volume, Work } from '@cairn/core';
import { describe, expect, test } from 'vitest';
import { ggufHeader, safetensorsHeader } from '../chunking/samples.js';
import { tempDir } from '../support/temp-dir.js';
import { codeOf, collect, contents, expectSameBytes, failure, newVolume, noise, temporaryStore, volumeV, writeAll } from './support.js';

/** A volume with a file of 5 MiB and a bit, once uncommitted and once committed. */
const DATA = noise((5 << 20) + 12_345, 11);
async function bothWays(use: (view: ReadView) => Promise<void>): Promise<void> {
  const volume = await newVolume();
  await writeAll(volume, { small: 'é small', empty: '' });
  await volume.writeFile('big', DATA);
  await use(volume);
  await volume.commit();
  await use(volume);
  await use(await volume.snapshot());
}

describe('readFile', () => {
  test('gives bytes, or text', () =>
    bothWays(async (view) => {
      expectSameBytes(await view.readFile('big'), DATA);
      expect(await view.readFile('small', 'utf8')).toBe('é small');
      expect([await view.readFile('empty'), await view.readFile('empty', 'utf8')]).toEqual([new Uint8Array(0), '']);
      expect(await codeOf(view.readFile('missing'))).toBe('ENOENT');
    }));

  test('gives memory of the caller own: changing it changes nothing', async () => {
    const volume = await newVolume();
    for (const size of [100, 200_000, 3 << 20]) {
      await volume.writeFile('a', noise(size));
      (await volume.readFile('a')).fill(0);
      expectSameBytes(await volume.readFile('a'), noise(size));
      for await (const piece of volume.createReadStream('a')) (piece as Uint8Array).fill(0);
      await volume.commit();
      (await volume.readFile('a')).fill(0);
      expectSameBytes(await volume.readFile('a'), noise(size));
    }
  });
});

describe('readInto', () => {
  const targets: Record<string, (size: number) => Uint8Array> = {
    plain: (size) => new Uint8Array(size),
    shared: (size) => new Uint8Array(new SharedArrayBuffer(size)),
    'a view within plain memory': (size) => new Uint8Array(size + 200).subarray(100, 100 + size),
    'a view within shared memory': (size) => new Uint8Array(new SharedArrayBuffer(size + 200), 100, size),
  };

  test.each(Object.entries(targets))('fills several targets (%s) from their positions, up to the end of each file', (_name, make) =>
    bothWays(async (view) => {
      const wanted = [
        ['big', 0, 100], ['big', 3_000_001, 2_000_000], ['big', DATA.length - 10, 50], ['big', DATA.length, 5], ['big', DATA.length + 99, 5],
        ['small', 1, 4], ['empty', 0, 4], ['big', 65_536, 0], ['big', 0, DATA.length],
      ] as const; // prettier-ignore
      const files: Record<string, Uint8Array> = { big: DATA, small: Buffer.from('é small'), empty: new Uint8Array(0) };
      const requests = wanted.map(([path, position, size]) => ({ path, position, target: make(size).fill(0xee) }));
      const expected = wanted.map(([path, position, size]) => files[path]!.subarray(position, position + size));
      expect(await view.readInto(requests)).toBe(expected.reduce((sum, bytes) => sum + bytes.length, 0));
      for (const [i, { target }] of requests.entries()) {
        expectSameBytes(target.subarray(0, expected[i]!.length), expected[i]!);
        expect(target.subarray(expected[i]!.length).every((byte) => byte === 0xee)).toBe(true);
      }
    }),
  );

  test('takes a single request, from the beginning when no position is given', () =>
    bothWays(async (view) => {
      const target = new Uint8Array(1000);
      expect(await view.readInto({ path: 'big', target }, { verify: false })).toBe(1000);
      expectSameBytes(target, DATA.subarray(0, 1000));
      expect(await view.readInto([])).toBe(0);
    }));

  test('touches no target when one of the requests is wrong', async () => {
    const volume = await newVolume();
    await volume.writeFile('a', noise(100));
    const target = new Uint8Array(10).fill(0xee);
    for (const position of [-1, 1.5, NaN, Infinity])
      expect(await codeOf(volume.readInto({ path: 'a', position, target }))).toBe('CAIRN_INVALID_ARGUMENT');
    expect(
      await codeOf(
        volume.readInto([
          { path: 'a', target },
          { path: 'missing', target: new Uint8Array(1) },
        ]),
      ),
    ).toBe('ENOENT');
    expect(target.every((byte) => byte === 0xee)).toBe(true);
  });
});

describe('createReadStream', () => {
  const bytesOf = async (stream: Readable): Promise<Uint8Array> => Buffer.concat((await collect(stream)) as Uint8Array[]);

  test('gives a range with an inclusive end, as node:fs does', () =>
    bothWays(async (view) => {
      const local = path.join(tempDir(), 'big');
      fs.writeFileSync(local, DATA);
      for (const range of [
        {},
        { start: 0, end: 0 },
        { start: 5, end: 9 },
        { start: DATA.length - 3 },
        { start: 1_000_000, end: 4_000_000 },
        { end: 131_071 },
        { start: DATA.length - 5, end: DATA.length + 100 },
        { start: DATA.length },
        { start: DATA.length + 5 },
      ]) {
        expectSameBytes(await bytesOf(view.createReadStream('big', range)), await bytesOf(fs.createReadStream(local, range)));
      }
      expectSameBytes(await bytesOf(view.createReadStream('empty')), new Uint8Array(0));
    }));

  test('refuses ranges that are none', async () => {
    const volume = await newVolume();
    await volume.writeFile('a', 'abc');
    for (const range of [{ start: -1 }, { start: NaN }, { start: 5, end: 2 }, { end: -5 }, { start: 0.5 }, { end: NaN }])
      expect(await codeOf(() => collect(volume.createReadStream('a', range)))).toBe('CAIRN_INVALID_ARGUMENT');
    expect(await codeOf(() => collect(volume.createReadStream('missing')))).toBe('ENOENT');
  });

  test('left early lets go of what it has read ahead', async () => {
    const store = await temporaryStore();
    const volume = await volumeV(store);
    await volume.writeFile('a', noise(20 << 20));
    await volume.commit();
    for await (const _piece of volume.createReadStream('a')) break;
    const stream = volume.createReadStream('a');
    stream.destroy();
    await store.close();
  });
});

describe('chunks', () => {
  test('follow each other from 0 to the end, and tell how each is kept', async () => {
    const volume = await volumeV(await temporaryStore());
    await volume.writeFile('noise', noise(1 << 20));
    await volume.writeFile('text', 'all work and no play '.repeat(20_000));
    await volume.writeFile('empty', '');
    const check = async (name: string, encodings: string[]): Promise<void> => {
      let end = 0;
      for await (const { offset, length, digest, encoding, storedLength } of volume.chunks(name)) {
        expect([offset, encodings.includes(encoding), /^[0-9a-f]{64}$/.test(digest)]).toEqual([end, true, true]);
        expect([encoding, storedLength]).toEqual([encoding, encoding === 'staged' ? 0 : encoding === 'raw' ? length : expect.any(Number)]);
        expect(storedLength).toBeLessThanOrEqual(length);
        end += length;
      }
      expect(end).toBe((await volume.stat(name)).size);
    };
    for (const name of ['noise', 'text', 'empty']) await check(name, ['staged']);
    await volume.commit();
    await check('noise', ['raw']);
    await check('text', ['zstd']);
    expect(await collect(volume.chunks('empty'))).toEqual([]);
    expect(await codeOf(collect(volume.chunks('missing')))).toBe('ENOENT');
  });
});

describe('tensors', () => {
  const header = safetensorsHeader(
    [
      { name: 'second', dtype: 'BF16', shape: [3, 5], offsets: [8, 38] },
      { name: 'first', dtype: 'F32', shape: [2], offsets: [0, 8] },
      { name: 'large', dtype: 'I8', shape: [1100, 1000], offsets: [38, 1_100_038] },
      { name: 'none', dtype: 'F32', shape: [0, 4], offsets: [38, 38] },
      { name: 'scalar', dtype: 'F64', shape: [], offsets: [1_100_038, 1_100_046] },
    ],
    { format: 'pt' },
  );
  const model = Buffer.concat([header, noise(1_100_046, 3)]);
  const at = (offset: number): number => header.length + offset;

  test('of a safetensors file: name, dtype, shape and place, in the order of the file', async () => {
    const volume = await newVolume();
    await volume.writeFile('d/model.safetensors', model);
    const expected = [
      { name: 'first', dtype: 'F32', shape: [2], offset: at(0), size: 8 },
      { name: 'second', dtype: 'BF16', shape: [3, 5], offset: at(8), size: 30 },
      { name: 'none', dtype: 'F32', shape: [0, 4], offset: at(38), size: 0 },
      { name: 'large', dtype: 'I8', shape: [1100, 1000], offset: at(38), size: 1_100_000 },
      { name: 'scalar', dtype: 'F64', shape: [], offset: at(1_100_038), size: 8 },
    ];
    const tensors = await volume.tensors('d/model.safetensors');
    expect(tensors).toEqual(expected.map((tensor) => ({ ...tensor, path: 'd/model.safetensors', contentId: expect.any(String) })));
    await volume.commit();
    expect(await volume.tensors('d/model.safetensors')).toEqual(tensors);
  });

  test('have the content id of their bytes, wherever in whatever file they lie', async () => {
    const volume = await newVolume();
    await volume.writeFile('model', model);
    await volume.writeFile('large', model.subarray(at(38), at(1_100_038)));
    const moved = safetensorsHeader([{ name: 'renamed', dtype: 'I8', shape: [1_100_000], offsets: [0, 1_100_000] }]);
    await volume.writeFile('other', Buffer.concat([moved, model.subarray(at(38), at(1_100_038))]));
    const idOf = async (file: string, name: string): Promise<unknown> =>
      (await volume.tensors(file)).find((tensor) => tensor.name === name)?.contentId;
    expect(await idOf('other', 'renamed')).toBe(await idOf('model', 'large'));
    const first = (await volume.tensors('model'))[0]!;
    await volume.writeFile('first', model.subarray(first.offset, first.offset + first.size));
    expect((await volume.stat('first')).contentId).toBe(first.contentId);
  });

  test('of a sharded model: those of all shards that its index names', async () => {
    const volume = await newVolume();
    const shard = (name: string, seed: number): Uint8Array =>
      Buffer.concat([safetensorsHeader([{ name, offsets: [0, 1000] }]), noise(1000, seed)]);
    await volume.writeFile('m/model-00002.safetensors', shard('b', 1));
    await volume.writeFile('m/model-00001.safetensors', shard('a', 2));
    await volume.writeFile(
      'm/model.safetensors.index.json',
      JSON.stringify({
        metadata: {},
        weight_map: { a: 'model-00001.safetensors', b: 'model-00002.safetensors' },
      }),
    );
    const tensors = await volume.tensors('m/model.safetensors.index.json');
    expect(tensors.map(({ name, path: file }) => [name, file])).toEqual([
      ['a', 'm/model-00001.safetensors'],
      ['b', 'm/model-00002.safetensors'],
    ]);
    for (const [text, code] of [
      ['{"weight_map":{"a":"missing.safetensors"}}', 'ENOENT'],
      ['{"weight_map":{"a":"../m/model-00001.safetensors"}}', 'CAIRN_INVALID_PATH'],
      ['{"weight_map":{"a":5}}', 'CAIRN_INVALID_ARGUMENT'],
      ['{"weight_map":{"c":"model-00001.safetensors"}}', 'CAIRN_INVALID_ARGUMENT'],
      ['{"weight_map":[]', 'CAIRN_INVALID_ARGUMENT'],
      ['{}', 'CAIRN_INVALID_ARGUMENT'],
      ['null', 'CAIRN_INVALID_ARGUMENT'],
    ]) {
      await volume.writeFile('m/wrong.index.json', text!);
      expect([text, await codeOf(volume.tensors('m/wrong.index.json'))]).toEqual([text, code]);
    }
  });

  test('of a GGUF file, outermost dimension first', async () => {
    const volume = await newVolume();
    const head = ggufHeader({
      tensors: [
        { name: 'w', shape: [64, 32], type: 0, offset: 0 },
        { name: 'b', shape: [64], type: 1, offset: 8192 },
      ],
    });
    await volume.writeFile('m.gguf', Buffer.concat([head, noise(8192 + 128)]));
    expect(await volume.tensors('m.gguf')).toEqual([
      { name: 'w', dtype: 'F32', shape: [32, 64], path: 'm.gguf', offset: head.length, size: 8192, contentId: expect.any(String) },
      { name: 'b', dtype: 'F16', shape: [64], path: 'm.gguf', offset: head.length + 8192, size: 128, contentId: expect.any(String) },
    ] satisfies TensorInfo[]);
  });

  test('of anything else are refused', async () => {
    const volume = await newVolume();
    await writeAll(volume, {
      text: 'no weights at all',
      empty: '',
      'cut.safetensors': Buffer.from(header.subarray(0, 50)).toString('latin1'),
    });
    for (const name of ['text', 'empty', 'cut.safetensors'])
      expect(await failure(volume.tensors(name))).toMatchObject({ code: 'CAIRN_INVALID_ARGUMENT', message: expect.stringContaining(name) });
    expect(await codeOf(volume.tensors('/'))).toBe('EISDIR');
  });
});

describe('an abort', () => {
  const reason = { abort: 'reason' };
  const aborting = async (
    call: (work: Work & { signal: AbortSignal }) => Promise<unknown>,
    when: 'before' | 'later' | 'on progress',
  ): Promise<unknown> => {
    const controller = new AbortController();
    if (when === 'before') controller.abort(reason);
    if (when === 'later') setTimeout(() => controller.abort(reason), 50);
    const onProgress = when === 'on progress' ? (): void => controller.abort(reason) : undefined;
    return call({ signal: controller.signal, onProgress }).then(
      () => 'it was not aborted',
      (error: unknown) => error,
    );
  };
  async function* endless(onReturn: () => void, size = Infinity): AsyncGenerator<Uint8Array> {
    try {
      for (let bytes = 0; bytes < size; bytes += 1 << 16) yield await Promise.resolve(noise(1 << 16, bytes));
    } finally {
      onReturn();
    }
  }

  test('before it begins, of every long call, rejects with its reason and changes nothing', async () => {
    const store = await temporaryStore();
    const volume = await volumeV(store);
    await volume.writeFile('a', DATA);
    await volume.commit();
    const dir = tempDir();
    const calls: Record<string, (work: Work & { signal: AbortSignal }) => Promise<unknown>> = {
      writeFile: (work) => volume.writeFile('a', 'x', work),
      'writeFile, much': (work) => volume.writeFile('a', noise(5 << 20), work),
      appendFile: (work) => volume.appendFile('a', 'x', work),
      readFile: (work) => volume.readFile('a', work),
      readInto: (work) => volume.readInto({ path: 'a', target: new Uint8Array(10) }, work),
      'readInto, much': (work) => volume.readInto({ path: 'a', target: new Uint8Array(3 << 20) }, work),
      copyToLocal: (work) => volume.copyToLocal('a', path.join(dir, 'a'), work),
      'copyToLocal, a folder': (work) => volume.copyToLocal('', path.join(dir, 'all'), work),
      commit: (work) => volume.commit({ message: 'm', ...work }),
      reload: (work) => volume.reload(work),
      rollback: (work) => volume.rollback('HEAD', work),
      batchUpload: (work) => volume.batchUpload((batch) => batch.putFile({ data: 'x' }, 'b'), work),
      prune: (work) => volume.prune({ keepLast: 1 }, work),
      usage: (work) => store.usage(work),
      verify: (work) => store.verify(work),
      'verify, data too': (work) => store.verify({ ...work, readData: true }),
    };
    for (const [name, call] of Object.entries(calls)) expect([name, await aborting(call, 'before')]).toEqual([name, reason]);
    expect([volume.dirty, (await store.volumes.info('v')).generation, fs.readdirSync(dir)]).toEqual([false, 1, []]);
  });

  test.each([0, 1 << 20, 4 << 20, 20 << 20])('of a stream that stalls after %d bytes does not wait for it', async (size) => {
    const volume = await newVolume();
    await volume.writeFile('a', 'kept');
    async function* stalling(): AsyncGenerator<Uint8Array> {
      yield* endless(() => undefined, size);
      await new Promise(() => undefined);
    }
    expect(await aborting((work) => volume.writeFile('new', stalling(), work), 'later')).toBe(reason);
    expect(await aborting((work) => volume.appendFile('a', stalling(), work), 'later')).toBe(reason);
    expect(await aborting((work) => volume.batchUpload((batch) => batch.putFile({ data: stalling() }, 'b'), work), 'later')).toBe(reason);
    expect(await contents(volume)).toEqual({ a: 'kept' });
  });

  test('of a stream that would never end ends it, and leaves nothing', async () => {
    const store = await temporaryStore();
    const volume = await volumeV(store);
    let returned = 0;
    for (const call of [
      (work: Work) =>
        volume.writeFile(
          'a',
          endless(() => returned++),
          work,
        ),
      (work: Work) =>
        volume.appendFile(
          'a',
          endless(() => returned++),
          work,
        ),
      (work: Work) => volume.batchUpload((batch) => batch.putFile({ data: endless(() => returned++) }, 'a'), work),
    ]) {
      expect(await aborting(call, 'later')).toBe(reason);
    }
    await expect.poll(() => returned).toBe(3);
    expect(await contents(volume)).toEqual({});
    expect((await store.volumes.info('v')).generation).toBe(0);
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
  });

  test('in the middle of a batch, a read or a restore rejects with its reason and leaves nothing visible', async () => {
    const local = tempDir();
    for (let i = 0; i < 40; i++) fs.writeFileSync(path.join(local, `f${i}`), noise(1 << 19, i));
    const volume = await newVolume();
    expect(await aborting((work) => volume.batchUpload((batch) => batch.putDirectory(local, 'up'), work), 'on progress')).toBe(reason);
    expect(await aborting((work) => volume.batchUpload(() => new Promise(() => undefined), work), 'later')).toBe(reason);
    expect([await contents(volume), await collect(volume.history())]).toEqual([{}, []]);

    await volume.batchUpload((batch) => batch.putDirectory(local, 'up'));
    await volume.writeFile('big', noise(20 << 20));
    await volume.commit();
    for (const target of [new Uint8Array(20 << 20), new Uint8Array(new SharedArrayBuffer(20 << 20))]) {
      expect(await aborting((work) => volume.readInto({ path: 'big', target }, work), 'on progress')).toBe(reason);
    }
    const restored = path.join(tempDir(), 'restored');
    expect(await aborting((work) => volume.copyToLocal('big', restored, work), 'on progress')).toBe(reason);
    expect(fs.existsSync(restored)).toBe(false);
    // What was stored before the abort is not stored again, and nothing of it is in the way.
    await volume.copyToLocal('up', restored);
    expectSameBytes(fs.readFileSync(path.join(restored, 'f7')), noise(1 << 19, 7));
  });

  test('of a read stream ends it with an AbortError that tells the reason', async () => {
    const volume: Volume = await newVolume();
    await volume.writeFile('a', DATA);
    await volume.commit();
    const controller = new AbortController();
    const reading = (async () => {
      for await (const _piece of volume.createReadStream('a', { signal: controller.signal })) controller.abort(reason);
    })();
    await expect(reading).rejects.toMatchObject({ name: 'AbortError', cause: reason });
    await expect(collect(volume.createReadStream('a', { signal: AbortSignal.abort(reason) }))).rejects.toMatchObject({
      name: 'AbortError',
      cause: reason,
    });
  });
});

describe('progress', () => {
  test('of storing and reading grows to the whole', async () => {
    const volume = await newVolume();
    const seen: number[] = [];
    const onProgress: Work['onProgress'] = ({ bytes }) => seen.push(bytes);
    await volume.writeFile('a', DATA, { onProgress });
    expect(seen.at(-1)).toBe(DATA.length);
    await volume.commit();
    seen.length = 0;
    await volume.readFile('a', { onProgress });
    expect(seen.at(-1)).toBe(DATA.length);
    expect([...seen].sort((x, y) => x - y)).toEqual(seen);
  });
});
