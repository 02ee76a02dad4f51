import { planLoad, readModelSource, type LoadPlan, type LoadRequest } from '@cairn/gpu-runner';
import { dtypeBlock, isCairnError, type Volume } from '@cairn/core';
import { describe, expect, it } from 'vitest';
import { ggufHeader, safetensorsHeader } from '../chunking/samples.js';
import { noise } from '../support/random.js';
import { commit, safetensors, tensor, testStore } from './support.js';

const plan = async (volume: Volume, request: LoadRequest): Promise<LoadPlan> =>
  planLoad(await readModelSource(volume, request.path), request);
const codeOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => 'no error',
    (error: unknown) => (error as { code?: string }).code,
  );

const MODEL = safetensors([
  tensor('model.embed.weight', 'BF16', [10, 6], 2, 1),
  tensor('model.layers.0.up.weight', 'F32', [6, 4], 4, 2),
  tensor('model.layers.1.up.weight', 'F32', [6, 4], 4, 3),
  tensor('odd', 'MADE_UP', [6], 5, 4),
]);

describe('a load plan', () => {
  it('takes the tensors that patterns and names ask for', async () => {
    const volume = await commit(await testStore(), 'v', { 'm.safetensors': MODEL });
    const names = async (request: Partial<LoadRequest>): Promise<string[]> =>
      (await plan(volume, { path: 'm.safetensors', ...request })).tensors.map(({ name }) => name);
    expect(await names({ include: ['*layers*'] })).toEqual(['model.layers.0.up.weight', 'model.layers.1.up.weight']);
    expect(await names({ include: ['model.layers.{1,2}.*'], tensors: ['odd'] })).toEqual(['model.layers.1.up.weight', 'odd']);
    expect(await names({ layout: 'tensors' })).toHaveLength(4);
  });

  it('is known by content and places: not by names, not by versions', async () => {
    const store = await testStore();
    const volume = await commit(store, 'v', { 'm.safetensors': MODEL });
    const request = { path: 'm.safetensors', include: ['*layers*'] };
    const { key } = await plan(volume, request);
    await volume.copy('m.safetensors', 'copy.safetensors');
    await volume.writeFile('other', 'x');
    await volume.commit();
    expect((await plan(volume, { ...request, path: 'copy.safetensors' })).key).toBe(key);
    expect((await plan(volume, { ...request, alignmentBytes: 512 })).key).not.toBe(key);
    expect((await plan(volume, { ...request, include: ['*layers.0*'] })).key).not.toBe(key);
    await volume.writeFile('m.safetensors', MODEL.with(MODEL.length - 1, MODEL.at(-1)! ^ 1));
    expect((await plan(volume, request)).key).not.toBe(key);
  });

  it('has each file once, however its path is written', async () => {
    const volume = await commit(await testStore(), 'v', { 'm/a.safetensors': MODEL, 'm/b.bin': 'text' });
    for (const path of ['m/a.safetensors', '/m/a.safetensors']) {
      const { files, regionBytes } = await plan(volume, { path });
      expect([files.map((file) => file.path), regionBytes]).toEqual([['m/a.safetensors'], [MODEL.length]]);
    }
    expect((await plan(volume, { path: '/m/' })).files.map(({ path }) => path)).toEqual(['m/a.safetensors', 'm/b.bin']);
    await volume.symlink('a.safetensors', 'm/link.safetensors');
    expect(await codeOf(plan(volume, { path: 'm/link.safetensors' }))).toBe('CAIRN_INVALID_ARGUMENT');
    expect((await plan(volume, { path: 'm' })).files).toHaveLength(2);
  });

  it('says what cannot be loaded as asked', async () => {
    const volume = await commit(await testStore(), 'v', { 'm.safetensors': MODEL, 'plain.bin': 'text' });
    const code = (request: Partial<LoadRequest>): Promise<unknown> => codeOf(plan(volume, { path: 'm.safetensors', ...request }));
    const cut = { rank: 0, worldSize: 2 };
    expect(await code({ tensors: ['missing.up.weight'] })).toBe('CAIRN_GPU_TENSOR_NOT_FOUND');
    expect(await code({ include: ['nothing*'] })).toBe('CAIRN_GPU_TENSOR_NOT_FOUND');
    expect(await code({ path: 'plain.bin', layout: 'tensors' })).toBe('CAIRN_GPU_TENSOR_NOT_FOUND');
    expect(await code({ slice: { rank: 0, worldSize: 4, rows: ['*embed*'] } })).toBe('CAIRN_GPU_CANNOT_SLICE');
    expect(await code({ slice: { ...cut, rows: ['odd'] } })).toBe('CAIRN_GPU_UNKNOWN_DTYPE');
    expect(await code({ slice: { ...cut, rows: ['*weight'] } })).toBe('no error');
    expect(await code({ path: 'nowhere' })).toBe('ENOENT');
    await expect(plan(volume, { path: 'm.safetensors', tensors: ['missing.up.weight'] })).rejects.toThrow(
      expect.objectContaining({ candidates: ['model.layers.0.up.weight', 'model.layers.1.up.weight'] }),
    );
  });

  it('cuts quantised columns between blocks only', async () => {
    const header = ggufHeader({ tensors: [{ name: 'q', shape: [512, 3], type: 12, offset: 0 }] });
    const volume = await commit(await testStore(), 'v', { 'm.gguf': Buffer.concat([header, noise(3 * 2 * 144, 1)]) });
    const cut = (worldSize: number): Promise<LoadPlan> => plan(volume, { path: 'm.gguf', slice: { rank: 1, worldSize, columns: ['q'] } });
    expect((await cut(2)).tensors).toMatchObject([{ shape: [3, 256], size: 3 * 144 }]);
    expect((await cut(2)).reads).toMatchObject([{ runs: 3, runBytes: 144, strideBytes: 288, position: header.length + 144 }]);
    expect(await codeOf(cut(4))).toBe('CAIRN_GPU_CANNOT_SLICE');
  });
});

describe('hostile and broken models', () => {
  it('are refused by typed errors: sizes that lie, overlaps, shards that are missing or contradict the index', async () => {
    const one = (name: string): Uint8Array => safetensors([tensor(name, 'F32', [4], 4, 1)]);
    const index = (map: Record<string, string>): string => JSON.stringify({ weight_map: map });
    const volume = await commit(await testStore(), 'v', {
      'short.safetensors': MODEL.subarray(0, MODEL.length - 1),
      'overlap.safetensors': Buffer.concat([safetensorsHeader([{ name: 'a', offsets: [0, 8] }, { name: 'b', offsets: [4, 12] }]), noise(12, 1)]), // prettier-ignore
      'lie.safetensors': Buffer.concat([safetensorsHeader([{ name: 'a', dtype: 'F32', shape: [9], offsets: [0, 8] }]), noise(8, 1)]),
      'short.gguf': Buffer.concat([ggufHeader({ tensors: [{ name: 'a', shape: [32], type: 0, offset: 0 }] }), noise(100, 1)]),
      's/1.safetensors': one('a'),
      's/2.safetensors': one('b'),
      's/3.safetensors': one('a'),
      's/good.index.json': index({ a: '1.safetensors', b: '2.safetensors' }),
      's/missing.index.json': index({ a: '1.safetensors', c: '4.safetensors' }),
      's/wrong.index.json': index({ a: '1.safetensors', c: '2.safetensors' }),
      's/twice.index.json': index({ a: '1.safetensors', b: '3.safetensors' }),
      's/escape.index.json': index({ a: '../../etc/passwd' }),
      's/nothing.index.json': '{"weight_map": {"a": 5}}',
    });
    const error = async (path: string): Promise<unknown> => {
      const caught: unknown = await readModelSource(volume, path).catch((thrown: unknown) => thrown);
      return isCairnError(caught) ? caught.code : caught;
    };
    for (const path of [
      'short.safetensors',
      'overlap.safetensors',
      'lie.safetensors',
      'short.gguf',
      's/wrong.index.json',
      's/twice.index.json',
      's/nothing.index.json',
    ])
      expect([path, await error(path)]).toEqual([path, 'CAIRN_INVALID_ARGUMENT']);
    expect(await error('s/missing.index.json')).toBe('ENOENT');
    expect(await error('s/escape.index.json')).toBe('CAIRN_INVALID_PATH');
    const { files, tensors } = await readModelSource(volume, 's/good.index.json');
    expect(files.map(({ path }) => path)).toEqual(['s/1.safetensors', 's/2.safetensors', 's/good.index.json']);
    expect(tensors.map(({ name, path }) => [name, path])).toEqual([['a', 's/1.safetensors'], ['b', 's/2.safetensors']]); // prettier-ignore
  });
});

it('blocks of quantised types have the sizes of the structs of ggml-common.h', () => {
  // Written down from the struct definitions: scales, high bits, quants; half precision takes 2 bytes.
  const structs: Record<string, [elements: number, ...bytes: number[]]> = {
    Q4_0: [32, 2, 16], Q4_1: [32, 4, 16], Q5_0: [32, 2, 4, 16], Q5_1: [32, 4, 4, 16], Q8_0: [32, 2, 32], Q8_1: [32, 4, 32],
    Q2_K: [256, 16, 64, 4], Q3_K: [256, 32, 64, 12, 2], Q4_K: [256, 4, 12, 128], Q5_K: [256, 4, 12, 32, 128], Q6_K: [256, 128, 64, 16, 2],
    Q8_K: [256, 4, 256, 32], IQ2_XXS: [256, 2, 64], IQ2_XS: [256, 2, 64, 8], IQ2_S: [256, 2, 64, 8, 8], IQ3_XXS: [256, 2, 96],
    IQ3_S: [256, 2, 64, 8, 32, 4], IQ1_S: [256, 2, 32, 16], IQ1_M: [256, 32, 16, 8], IQ4_NL: [32, 2, 16], IQ4_XS: [256, 2, 2, 4, 128],
    TQ1_0: [256, 48, 4, 2], TQ2_0: [256, 64, 2], MXFP4: [32, 1, 16], NVFP4: [64, 4, 32], Q1_0: [128, 2, 16], Q2_0: [64, 2, 16],
    F32: [1, 4], F16: [1, 2], BF16: [1, 2], F64: [1, 8], I8: [1, 1], I16: [1, 2], I32: [1, 4], I64: [1, 8],
  }; // prettier-ignore
  for (const [dtype, [elements, ...parts]] of Object.entries(structs))
    expect([dtype, dtypeBlock(dtype)]).toEqual([dtype, { elements, bytes: parts.reduce((sum, part) => sum + part, 0) }]);
  expect(dtypeBlock('F4')).toEqual({ elements: 2, bytes: 1 });
  expect(dtypeBlock('F6_E2M3')).toEqual({ elements: 4, bytes: 3 });
  expect(dtypeBlock('NEW')).toBeUndefined();
});
