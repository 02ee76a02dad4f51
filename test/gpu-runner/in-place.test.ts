import type { ReadView, Volume } from '@cairn/core';
import { planLoad, readModelSource, Registry, type Lease, type LoadPlan, type LoadRequest } from '@cairn/gpu-runner';
import fc from 'fast-check';
import fs from 'node:fs';
import { describe, expect, it, onTestFinished } from 'vitest';
import { noise } from '../support/random.js';
import { commit, contentOf, hostDevice, safetensors, StagedDevice, StagedRegion, tensor, testStore, type TestTensor } from './support.js';

const MIB = 1 << 20;
const plan = async (view: ReadView, request: LoadRequest): Promise<LoadPlan> =>
  planLoad(await readModelSource(view, request.path), request);

function registryOn(device: ReturnType<typeof hostDevice> | StagedDevice, budgetBytes = 256 * MIB): Registry {
  const registry = new Registry({ device, budgetBytes });
  onTestFinished(() => registry.close());
  return registry;
}

/** A view whose reads fail once so many bytes were read, as a disk's would. */
function failing(view: Volume, afterBytes: number): ReadView {
  let left = afterBytes;
  return new Proxy(view, {
    get(target, name) {
      if (name === 'readInto')
        return async (...args: Parameters<Volume['readInto']>) => {
          left -= await target.readInto(...args);
          if (left < 0) throw Object.assign(new Error('the disk failed'), { code: 'EIO' });
        };
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value;
    },
  });
}

describe('an update in place', () => {
  it.each(['host', 'staged'] as const)('gives the bytes of a load of the new version, whatever changed (%s memory)', async (kind) => {
    const store = await testStore();
    const device = kind === 'host' ? hostDevice() : new StagedDevice();
    const bytesOf = (lease: Lease): Uint8Array[] =>
      lease.regions.map((region) => (region instanceof StagedRegion ? region.memory : contentOf(region)));
    const change = fc.record({ tensor: fc.nat(2), at: fc.double({ min: 0, max: 0.999, noNaN: true }), bytes: fc.integer({ min: 1, max: 300_000 }) }); // prettier-ignore
    const requests: Partial<LoadRequest>[] = [{}, { layout: 'tensors' }, { slice: { rank: 1, worldSize: 2, rows: ['a'], columns: ['b'] } }];
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(change, { maxLength: 4 }), fc.nat(2), async (changes, which) => {
        const registry = registryOn(device);
        const request = { path: 'm.safetensors', ...requests[which]! };
        const old: TestTensor[] = [tensor('a', 'F32', [400, 500], 4, run), tensor('b', 'BF16', [300, 800], 2, run + 1), tensor('c', 'U8', [777], 1, run + 2)]; // prettier-ignore
        const next = old.map(({ bytes, ...rest }) => ({ ...rest, bytes: Uint8Array.from(bytes) }));
        for (const { tensor: number, at, bytes } of changes) {
          const target = next[number]!.bytes;
          const from = Math.floor(at * target.length);
          for (let i = from; i < Math.min(target.length, from + bytes); i++) target[i]! ^= 0x55;
        }
        const volume = await commit(store, `v${run}`, { 'm.safetensors': safetensors(old) });
        run += 3;
        const lease = await registry.acquire(volume, await plan(volume, request));
        const before = lease.regions;
        await volume.writeFile('m.safetensors', safetensors(next));
        const wanted = await plan(volume, request);
        const updated = await registry.update(lease, volume, wanted);
        expect(updated.regions).toBe(before); // the very memory
        const fresh = await registryOn(device).acquire(volume, wanted);
        for (const [i, bytes] of bytesOf(updated).entries()) expect(Buffer.compare(bytes, bytesOf(fresh)[i]!)).toBe(0);
        if (updated.key !== lease.key) {
          expect([lease.held, updated.held]).toEqual([false, true]);
          const { readBytes, reusedBytes } = updated.metrics;
          const filled = wanted.reads.reduce((sum, { runs, runBytes }) => sum + runs * runBytes, 0);
          // Columns are read with what is between them.
          if (wanted.reads.every(({ runs }) => runs === 1)) expect(readBytes + reusedBytes).toBe(filled);
        }
        updated.release();
        lease.release();
        expect(registry.list().every(({ users }) => users === 0)).toBe(true);
        await registry.close();
      }),
      { numRuns: 10 },
    );
  });

  it('of a hundredth of the blocks moves that many, and is seen by who has the memory open', async () => {
    const bytes = noise(100 * MIB, 1);
    const volume = await commit(await testStore(), 'v', { a: bytes });
    const registry = registryOn(hostDevice());
    const lease = await registry.acquire(volume, await plan(volume, { path: 'a' }), { lineage: 'a' });
    const exported = lease.regions[0]!.export();
    const open = fs.openSync(`/proc/self/fd/${'descriptor' in exported ? exported.descriptor : ''}`, 'r');
    onTestFinished(() => fs.closeSync(open));
    const changed = bytes.with(50 * MIB, bytes[50 * MIB]! ^ 1);
    await volume.writeFile('a', changed);
    const updated = await registry.update(lease, volume, await plan(volume, { path: 'a' }));
    expect(updated.metrics.readBytes).toBeLessThanOrEqual(1.5 * MIB);
    expect(updated.metrics.readBytes + updated.metrics.reusedBytes).toBe(bytes.length);
    const seen = Buffer.alloc(1);
    fs.readSync(open, seen, 0, 1, 50 * MIB);
    expect(seen[0]).toBe(changed[50 * MIB]);
    expect(registry.list()).toMatchObject([{ key: updated.key, lineage: 'a', users: 1 }]);
    expect(registry.counters).toMatchObject({ loads: 1, updates: 1 });
  });

  it('is refused, and changes nothing, when others would see it, or it would not fit the memory', async () => {
    const bytes = noise(2 * MIB, 1);
    const volume = await commit(await testStore(), 'v', { a: bytes, longer: noise(2 * MIB + 1, 2), b: noise(2 * MIB, 3) });
    const registry = registryOn(hostDevice());
    const of = (path: string): Promise<LoadPlan> => plan(volume, { path });
    const acquire = async (path: string): Promise<Lease> => registry.acquire(volume, await of(path));
    const lease = await acquire('a');
    const refused = async (path: string): Promise<void> => {
      await expect(registry.update(lease, volume, await of(path))).rejects.toMatchObject({ code: 'CAIRN_GPU_NOT_IN_PLACE' });
      expect(lease.held).toBe(true);
      expect(contentOf(lease.regions[0]!).equals(bytes)).toBe(true);
    };
    await refused('longer');
    const other = await acquire('a');
    await refused('b');
    other.release();
    const loaded = await acquire('b');
    await refused('b');
    loaded.release();
    registry.evictIdle();
    const updated = await registry.update(lease, volume, await of('b'));
    await expect(registry.update(lease, volume, await of('a'))).rejects.toMatchObject({ code: 'CAIRN_CLOSED' });
    expect(contentOf(updated.regions[0]!).equals(noise(2 * MIB, 3))).toBe(true);
  });

  it('that fails half-way leaves no memory that somebody could take for a version, and both can be loaded anew', async () => {
    const [one, two] = [noise(80 * MIB, 1), noise(80 * MIB, 2)];
    const volume = await commit(await testStore(), 'v', { a: one, b: two });
    const device = hostDevice();
    const registry = registryOn(device, 90 * MIB);
    const [from, to] = [await plan(volume, { path: 'a' }), await plan(volume, { path: 'b' })];
    for (const how of ['disk', 'abort'] as const) {
      const lease = await registry.acquire(volume, from);
      const abort = new AbortController();
      const update =
        how === 'disk'
          ? registry.update(lease, failing(volume, 10 * MIB), to)
          : registry.update(lease, volume, to, { signal: abort.signal, onProgress: () => abort.abort(new Error('enough')) });
      await expect(update.then(({ key }) => key)).rejects.toThrow(how === 'disk' ? 'the disk failed' : 'enough');
      expect(lease.held).toBe(false);
      lease.release();
      const next = await registry.acquire(volume, to);
      expect(contentOf(next.regions[0]!).equals(two)).toBe(true);
      next.release();
      expect(device.info()).toMatchObject({ allocatedBytes: 80 * MIB, lingeringBytes: 0 });
    }
  });
});
