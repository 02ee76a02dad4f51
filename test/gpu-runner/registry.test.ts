import type { Volume } from '@cairn/core';
import { planLoad, readModelSource, Registry, type AcquireOptions, type Lease, type LoadRequest } from '@cairn/gpu-runner';
import { describe, expect, it, onTestFinished } from 'vitest';
import { noise } from '../support/random.js';
import { commit, contentOf, hostDevice, safetensors, tensor, testStore } from './support.js';

const MIB = 1 << 20;

interface Rig {
  registry: Registry;
  volume: Volume;
  device: ReturnType<typeof hostDevice>;
  acquire(path: string, options?: AcquireOptions, request?: Partial<LoadRequest>): Promise<Lease>;
}

async function rig(files: Record<string, Uint8Array>, budgetBytes = 256 * MIB): Promise<Rig> {
  const volume = await commit(await testStore(), 'v', files);
  const device = hostDevice({ capacityBytes: 512 * MIB });
  const registry = new Registry({ device, budgetBytes });
  onTestFinished(() => registry.close());
  const acquire: Rig['acquire'] = async (path, options, request) =>
    registry.acquire(volume, planLoad(await readModelSource(volume, path), { path, ...request }), options);
  return { registry, volume, device, acquire };
}

describe('a model', () => {
  it('is loaded once, however many ask for it at once and under whatever name', async () => {
    const { registry, acquire, volume } = await rig({ 'a.bin': noise(20 * MIB, 1) });
    await volume.copy('a.bin', 'b.bin');
    const leases = await Promise.all(Array.from({ length: 20 }, (_, i) => acquire(i % 2 === 0 ? 'a.bin' : 'b.bin')));
    expect(registry.counters).toMatchObject({ loads: 1, hits: 19, readBytes: 20 * MIB });
    expect(new Set(leases.map(({ regions }) => regions[0])).size).toBe(1);
    expect(leases.map(({ plan }) => plan.files[0]!.path).slice(0, 2)).toEqual(['a.bin', 'b.bin']);
    expect(registry.list()).toMatchObject([{ state: 'ready', users: 20, bytes: 20 * MIB }]);
    for (const lease of leases) {
      lease.release();
      lease.release();
    }
    expect(registry.list()).toMatchObject([{ users: 0 }]);
  });

  it('stays while somebody has a lease, and goes in the order of last use when room is needed', async () => {
    const files = Object.fromEntries(['a', 'b', 'c', 'd'].map((name, i) => [name, noise(10 * MIB, i)]));
    const { registry, acquire, device } = await rig(files, 30 * MIB);
    for (const name of ['a', 'b', 'c']) (await acquire(name)).release();
    const a = await acquire('a');
    const d = await acquire('d'); // b goes: c and a were used after it
    const keys = registry.list().map(({ key }) => key);
    expect(keys).toHaveLength(3);
    expect(keys).toEqual(expect.arrayContaining([a.key, d.key]));
    expect((await acquire('c')).shared).toBe(true);
    await expect(acquire('b')).rejects.toMatchObject({ code: 'CAIRN_GPU_OUT_OF_MEMORY' });
    expect(contentOf(a.regions[0]!).equals(files['a']!)).toBe(true);
    a.release();
    expect(contentOf((await acquire('b')).regions[0]!).equals(files['b']!)).toBe(true);
    expect(registry.counters.evictions).toBe(2);
    expect(device.info().allocatedBytes).toBe(30 * MIB);
  });

  it('that can never fit is refused at once', async () => {
    const { acquire, registry } = await rig({ a: noise(10 * MIB, 1) }, 9 * MIB);
    await expect(acquire('a')).rejects.toMatchObject({ code: 'CAIRN_GPU_MODEL_TOO_LARGE', neededBytes: 10 * MIB, budgetBytes: 9 * MIB });
    expect(registry.list()).toEqual([]);
  });

  it('goes on loading while one of those who asked still waits, and stops with the last', async () => {
    const { acquire, registry, device } = await rig({ a: noise(80 * MIB, 1) });
    const aborts = [new AbortController(), new AbortController(), new AbortController()];
    let heard = (): void => {};
    const started = new Promise<void>((resolve) => (heard = resolve));
    const one = acquire('a', { signal: aborts[0]!.signal, onProgress: () => heard() });
    const two = acquire('a', { signal: aborts[1]!.signal });
    const ends = [one, two].map((request) => expect(request).rejects.toThrow('enough'));
    await started;
    aborts[0]!.abort(new Error('enough'));
    aborts[1]!.abort(new Error('enough'));
    await Promise.all(ends);
    const again = await acquire('a');
    expect(again.shared).toBe(false);
    again.release();
    expect(registry.list()).toHaveLength(1);
    const joined = acquire('a', { signal: aborts[2]!.signal });
    await joined;
    expect(device.info().allocatedBytes).toBe(80 * MIB);
  });

  it('whose load was given up makes room for the next one, which waits for its memory if it has to', async () => {
    const files = { a: noise(80 * MIB, 1), b: noise(30 * MIB, 2) };
    const volume = await commit(await testStore(), 'v', files);
    // Room for one of them, not for two.
    const device = hostDevice({ capacityBytes: 100 * MIB });
    const registry = new Registry({ device });
    onTestFinished(() => registry.close());
    const acquire = async (path: string, options?: AcquireOptions): Promise<Lease> =>
      registry.acquire(volume, planLoad(await readModelSource(volume, path), { path }), options);
    const abort = new AbortController();
    let next: Promise<Lease> | undefined;
    const onProgress = (): void => {
      if (next !== undefined) return;
      abort.abort(new Error('enough'));
      next = acquire('b');
    };
    await expect(acquire('a', { signal: abort.signal, onProgress })).rejects.toThrow('enough');
    expect(contentOf((await next!).regions[0]!).equals(files.b)).toBe(true);
  });

  it('whose load fails is not kept, and can be loaded later', async () => {
    const { acquire, volume, registry } = await rig({ a: noise(MIB, 1) });
    const plan = planLoad(await readModelSource(volume, 'a'), { path: 'a' });
    await volume.remove('a');
    await expect(registry.acquire(volume, plan)).rejects.toMatchObject({ code: 'ENOENT' });
    expect(registry.list()).toEqual([]);
    await volume.writeFile('a', noise(MIB, 1));
    expect((await acquire('a')).key).toBe(plan.key);
  });
});

describe('a newer version', () => {
  it('takes over what did not change, wherever it is now, and reads the rest: one changed block of a hundred is about one block', async () => {
    const bytes = noise(100 * MIB, 1);
    const { acquire, volume, registry } = await rig({
      'm.safetensors': safetensors([{ name: 'w', dtype: 'U8', shape: [100 * MIB], bytes }]),
    });
    const old = await acquire('m.safetensors', { lineage: 'm' });
    const changed = bytes.slice();
    changed[50 * MIB + 5]! ^= 1;
    const file = safetensors([{ name: 'w', dtype: 'U8', shape: [100 * MIB], bytes: changed }]);
    await volume.writeFile('m.safetensors', file);
    await volume.commit();
    const next = await acquire('m.safetensors', { lineage: 'm' });
    expect(next.metrics.readBytes).toBeLessThanOrEqual(1.5 * MIB);
    expect(next.metrics.readBytes + next.metrics.reusedBytes).toBe(file.length);
    expect(contentOf(next.regions[0]!).equals(file)).toBe(true);
    expect(contentOf(old.regions[0]!).subarray(-bytes.length).equals(bytes)).toBe(true); // the old one is as it was
    expect(registry.list()).toHaveLength(2);
  });

  it('takes the place of the old one when that is not used any more: reload after reload, no more than two are in memory', async () => {
    const { acquire, volume, registry, device } = await rig({ a: noise(10 * MIB, 0) });
    let lease = await acquire('a', { lineage: 'a' });
    for (let version = 1; version <= 5; version++) {
      const bytes = noise(10 * MIB, version);
      await volume.writeFile('a', bytes);
      const next = await acquire('a', { lineage: 'a' });
      expect(registry.list()).toHaveLength(2);
      lease.release();
      lease = next;
      expect(registry.list()).toMatchObject([{ users: 1 }]);
      expect(contentOf(lease.regions[0]!).equals(bytes)).toBe(true);
      const { allocatedBytes, reusableBytes } = device.info();
      expect(allocatedBytes + reusableBytes).toBe(20 * MIB);
    }
  });

  it('of packed tensors and of column slices is right, too', async () => {
    const tensors = (seed: number) => [
      tensor('a', 'BF16', [600, 1000], 2, 1),
      tensor('b', 'F32', [300, 400], 4, seed),
      tensor('c', 'U8', [77], 1, 3),
    ];
    const { acquire, volume } = await rig({ m: new Uint8Array(0) });
    const request = { slice: { rank: 1, worldSize: 2, columns: ['a', 'b'] } };
    const lease: Lease[] = [];
    for (const seed of [2, 4]) {
      await volume.writeFile('m.safetensors', safetensors(tensors(seed)));
      lease.push(await acquire('m.safetensors', { lineage: 'm' }, request));
    }
    const alone = new Registry({ device: hostDevice() });
    onTestFinished(() => alone.close());
    const fresh = await alone.acquire(volume, lease[1]!.plan);
    expect(contentOf(lease[1]!.regions[0]!).equals(contentOf(fresh.regions[0]!))).toBe(true);
    expect(lease[1]!.metrics.reusedBytes).toBe(600 * 1000 + 77);
  });

  it('is read whole when both do not fit and nobody uses the old one', async () => {
    const { acquire, volume, registry } = await rig({ a: noise(10 * MIB, 1) }, 15 * MIB);
    (await acquire('a', { lineage: 'a' })).release();
    await volume.appendFile('a', 'x');
    const next = await acquire('a', { lineage: 'a' });
    expect(next.metrics).toMatchObject({ readBytes: 10 * MIB + 1, reusedBytes: 0 });
    expect(registry.list()).toHaveLength(1);
    await volume.appendFile('a', 'y');
    await expect(acquire('a', { lineage: 'a' })).rejects.toMatchObject({ code: 'CAIRN_GPU_OUT_OF_MEMORY' });
    expect(registry.list()).toMatchObject([{ users: 1 }]);
  });
});
