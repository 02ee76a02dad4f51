import type { Snapshot, Store, Volume } from '@cairn/core';
import { ModelService, planLoad, readModelSource, Registry, type LoadPlan } from '@cairn/gpu-runner';
import fc from 'fast-check';
import { describe, expect, it, onTestFinished } from 'vitest';
import { KnownPlans } from '../../packages/gpu-runner/src/service/known-plans.js';
import { noise } from '../support/random.js';
import { commit, hostDevice, safetensors, tensor, testStore } from './support.js';

function serviceOn(store: Store): ModelService {
  const device = hostDevice();
  const registry = new Registry({ device });
  onTestFinished(() => registry.close());
  return new ModelService({ store, registry, device: device.id });
}

const shard = (name: string, seed: number): Uint8Array => safetensors([tensor(name, 'F32', [4], 4, seed)]);
const shardIndex = (map: Record<string, string>): string => JSON.stringify({ weight_map: map });

describe('a service', () => {
  it('makes a plan once for a model, however often it is asked for and whatever else is committed', async () => {
    const store = await testStore();
    await commit(store, 'models', { 'm/a.safetensors': shard('a', 1), 'other.bin': 'x' });
    const service = serviceOn(store);
    const planOf = async (path: string): Promise<LoadPlan> => {
      using model = await service.load({ volume: 'models', path });
      return model.lease.plan;
    };
    const [file, folder] = [await planOf('m/a.safetensors'), await planOf('m')];
    expect([await planOf('m/a.safetensors'), await planOf('m')]).toEqual([file, folder]);
    await commit(store, 'models', { 'other.bin': 'y' });
    expect(await planOf('m/a.safetensors')).toBe(file);
    expect(await planOf('m')).toBe(folder);
    await commit(store, 'models', { 'm/b.bin': 'z' });
    expect(await planOf('m/a.safetensors')).toBe(file);
    expect((await planOf('m')).files).toHaveLength(2);
  });

  it('gives in every version what planning anew gives, whatever was committed in between', async () => {
    const paths = ['m', 'm/a.safetensors', 'm/model.safetensors.index.json', 'm/link.bin'];
    const edits: Record<string, (volume: Volume, seed: number) => Promise<void>> = {
      other: (volume, seed) => volume.writeFile('other.bin', noise(10, seed)),
      shard: (volume, seed) => volume.writeFile('m/a.safetensors', shard('a', seed)),
      same: (volume) => volume.writeFile('m/a.safetensors', shard('a', 0)),
      more: (volume, seed) => volume.writeFile(`m/${seed % 3}.bin`, noise(5, seed)),
      fewer: (volume, seed) => volume.remove(`m/${seed % 3}.bin`),
      rename: (volume) => volume.rename('m/a.safetensors', 'm/c.safetensors'),
      index: async (volume, seed) => {
        const name = seed % 2 === 0 ? 'a' : 'c';
        await volume.writeFile(`m/${name}.safetensors`, shard('a', 7));
        await volume.writeFile('m/model.safetensors.index.json', shardIndex({ a: `${name}.safetensors` }));
      },
      file: async (volume) => {
        await volume.remove('m', { recursive: true });
        await volume.writeFile('m', 'a file now');
      },
      folder: async (volume) => {
        await volume.remove('m');
        await volume.writeFile('m/a.safetensors', shard('a', 1));
      },
      link: (volume) => volume.symlink('a.safetensors', 'm/link.bin'),
    };
    const edit = fc.tuple(fc.constantFrom(...Object.keys(edits)), fc.nat(5));
    const store = await testStore();
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 3, maxLength: 8 }), async (steps) => {
        const name = `v${run++}`;
        const volume = await commit(store, name, {
          'm/a.safetensors': shard('a', 0),
          'm/model.safetensors.index.json': shardIndex({ a: 'a.safetensors' }),
        });
        const service = serviceOn(store);
        for (const [step, seed] of [['other', 0] as [string, number], ...steps]) {
          // One that does not fit what is there now changes nothing.
          await edits[step]!(volume, seed).catch(() => undefined);
          await volume.commit();
          for (const path of paths) {
            const outcome = async (work: Promise<{ key: string; files: unknown; tensors: unknown }>): Promise<unknown> =>
              work.then(
                ({ key, files, tensors }) => ({ key, files, tensors }),
                (error: unknown) => ({ code: String((error as { code: string }).code).replace('CAIRN_GPU_MODEL_NOT_FOUND', 'ENOENT') }),
              );
            const anew = await outcome(readModelSource(volume, path).then((source) => planLoad(source, { path })));
            expect([step, path, await outcome(service.plan({ volume: name, path }))]).toEqual([step, path, anew]);
          }
        }
      }),
      { numRuns: 8 },
    );
  });
});

it('plans that are kept are bounded by what they have together, and those that failed are made anew', async () => {
  const TENSORS = 20_000;
  const tensors = Array.from({ length: TENSORS }, (_, i) => ({ name: `t${i}`, dtype: 'U8', shape: [1], path: 'm.safetensors', offset: i, size: 1, contentId: '' })); // prettier-ignore
  let [looks, broken] = [0, false];
  const snapshot = {
    info: { id: 'one' },
    stat: async (path: string) => ({ type: 'file', path, size: TENSORS, contentId: 'c' }),
    tensors: async () => {
      looks++;
      if (broken) throw new Error('the disk failed');
      return tensors;
    },
  } as unknown as Snapshot;
  const plans = new KnownPlans();
  const plan = async (alignmentBytes: number): Promise<number> => {
    const before = looks;
    await plans.planOf(snapshot, { volume: 'v', path: 'm.safetensors', layout: 'tensors', alignmentBytes });
    return looks - before;
  };
  // Each has 20 000 tensors, and most as many reads; all together may have 200 000.
  for (const alignment of [1, 2, 4, 8]) expect(await plan(alignment)).toBe(1);
  for (const alignment of [1, 2, 4, 8]) expect(await plan(alignment)).toBe(0);
  for (const alignment of [16, 32, 64, 128]) expect(await plan(alignment)).toBe(1);
  for (const alignment of [128, 64]) expect(await plan(alignment)).toBe(0);
  expect(await plan(1)).toBe(1);
  broken = true;
  await expect(plan(256)).rejects.toThrow('the disk failed');
  broken = false;
  expect(await plan(256)).toBe(1);
});
