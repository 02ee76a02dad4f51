import type { Store, Volume } from '@cairn/core';
import { planLoad, readModelSource, Registry, type CudaRegion, type Lease } from '@cairn/gpu-runner';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noEmulatedCuda } from '../support/emulated-cuda.js';
import { noise } from '../support/random.js';
import { emulatedCuda, emulatedDevice } from './emulated-device.js';
import { commit, testStore } from './support.js';

const KIB = 1 << 10;
const MIB = 1 << 20;

interface Chunk {
  digest: string;
  offset: number;
  length: number;
}

async function chunksOf(volume: Volume): Promise<Chunk[]> {
  const chunks: Chunk[] = [];
  for await (const { digest, offset, length } of volume.chunks('a.bin')) chunks.push({ digest, offset, length });
  return chunks;
}

describe.skipIf(noEmulatedCuda !== undefined)('a model in the memory of a GPU (emulated) that is changed in place', () => {
  interface Rig {
    volume: Volume;
    registry: Registry;
    acquire(): Promise<Lease>;
    update(lease: Lease): Promise<Lease>;
  }

  async function rig(store: Store, bytes: Uint8Array): Promise<Rig & AsyncDisposable> {
    const volume = await commit(store, 'v', { 'a.bin': bytes });
    const device = await emulatedDevice();
    const registry = new Registry({ device });
    const plan = async () => planLoad(await readModelSource(volume, 'a.bin'), { path: 'a.bin' });
    return {
      volume,
      registry,
      acquire: async () => registry.acquire(volume, await plan()),
      update: async (lease) => registry.update(lease, volume, await plan()),
      [Symbol.asyncDispose]: async () => {
        await registry.close();
        await device.close();
      },
    };
  }

  /** As a consumer has it: the exported memory, mapped by a device of its own. */
  async function viewerOf(lease: Lease): Promise<CudaRegion> {
    const region = lease.regions[0]!;
    const exported = region.export();
    if (exported.kind !== 'cuda-vmm') throw new Error(exported.kind);
    return (await emulatedDevice()).adopt(exported.descriptor, region.sizeBytes);
  }

  it('has only its changed chunks written, which cross the bus once, and whoever has mapped it sees the new version', async () => {
    const store = await testStore();
    let run = 0;
    const edits = fc.array(fc.record({ at: fc.double({ min: 0, max: 0.999, noNaN: true }), bytes: fc.integer({ min: 1, max: 200_000 }) }), { maxLength: 3 }); // prettier-ignore
    await fc.assert(
      fc.asyncProperty(edits, async (list) => {
        const old = noise(MIB, run++);
        const next = old.slice();
        for (const { at, bytes } of list) {
          const from = Math.floor(at * next.length);
          for (let i = from; i < Math.min(next.length, from + bytes); i++) next[i]! ^= 0x55;
        }
        await using model = await rig(store, old);
        const lease = await model.acquire();
        const viewer = await viewerOf(lease);
        const before = await chunksOf(model.volume);
        await model.volume.writeFile('a.bin', next);
        await model.volume.commit();
        const places = new Set(before.map(({ digest, offset }) => `${offset}:${digest}`));
        const [kept, changed] = [[] as Chunk[], [] as Chunk[]];
        for (const chunk of await chunksOf(model.volume)) (places.has(`${chunk.offset}:${chunk.digest}`) ? kept : changed).push(chunk);
        // A mark in every chunk that stays: where it is gone afterwards, something was written that had not changed.
        const marked = next.slice();
        for (const { offset } of kept) await viewer.copyIn(offset, Uint8Array.of((marked[offset]! ^= 0xff)));
        const counted = emulatedCuda().report().bytes;
        const updated = await model.update(lease);
        const { hostToDevice, deviceToDevice, set } = emulatedCuda().report().bytes;
        const changedBytes = changed.reduce((sum, { length }) => sum + length, 0);
        expect([hostToDevice - counted.hostToDevice, deviceToDevice - counted.deviceToDevice, set - counted.set]).toEqual([changedBytes, 0, 0]); // prettier-ignore
        expect(updated.regions).toEqual(lease.regions);
        if (changed.length > 0) expect(updated.metrics).toMatchObject({ readBytes: changedBytes, reusedBytes: old.length - changedBytes });
        expect(Buffer.compare(await viewer.read(0, next.length), marked)).toBe(0);
      }),
      { numRuns: 5 },
    );
  });

  it('is neither version when a copy fails, whichever: nobody gets it, its memory is given back, and a load brings the new one', async () => {
    const [old, next] = [noise(300 * KIB, 1), noise(300 * KIB, 2)];
    await using model = await rig(await testStore(), old);
    const inPlace = async (): Promise<Lease> => {
      await model.volume.writeFile('a.bin', old);
      const lease = await model.acquire();
      await model.volume.writeFile('a.bin', next);
      return lease;
    };
    let failures = 0;
    for (let copy = 1, fired = true; fired; copy++) {
      const lease = await inPlace();
      emulatedCuda({ COPY_DELAY_US: 100, FAIL: `cuMemcpyHtoDAsync_v2:${copy}:999` });
      const update = await model.update(lease).then(
        (updated) => updated,
        (error: unknown) => error as Error,
      );
      ({ fired } = emulatedCuda().report());
      emulatedCuda({});
      if (update instanceof Error) {
        failures++;
        expect(update).toMatchObject({ code: 'CAIRN_GPU_CUDA', call: 'cuMemcpyHtoDAsync_v2' });
        expect([lease.held, model.registry.list(), model.registry.device.info().allocatedBytes]).toEqual([false, [], 0]);
        lease.release();
      } else update.release();
      const loaded = await model.acquire();
      expect(Buffer.compare(await (loaded.regions[0] as CudaRegion).read(0, next.length), next)).toBe(0);
      loaded.release();
      model.registry.evictIdle();
    }
    // The ring's slots are of 64 KiB.
    expect(failures).toBeGreaterThanOrEqual(300 / 64);
  });
});
