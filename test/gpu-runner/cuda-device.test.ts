import { CudaDevice, loadRegions, planLoad, readModelSource, Registry, type CudaRegion } from '@cairn/gpu-runner';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { buildEmulatedCuda, koffi, noEmulatedCuda } from '../support/emulated-cuda.js';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { Process } from './daemon.js';
import { emulatedCuda, emulatedDevice, expectNothingLeft } from './emulated-device.js';
import { commit, testStore } from './support.js';

const KIB = 1 << 10;
const MIB = 1 << 20;

if (noEmulatedCuda !== undefined) console.warn(`tests of the emulated CUDA driver are skipped: ${noEmulatedCuda}`);

/** Everything of a region, copied back. */
const bytesOf = (region: CudaRegion): Promise<Uint8Array> => region.read(0, region.sizeBytes);

async function filled(device: CudaDevice, bytes: Uint8Array): Promise<CudaRegion> {
  const region = await device.allocate(bytes.length);
  await region.copyIn(0, bytes);
  await region.seal();
  return region;
}

describe.skipIf(noEmulatedCuda !== undefined)('memory of a GPU (emulated)', () => {
  it('is what was copied in, cleared and copied over, in the order of the calls, from pinned memory and from any', async () => {
    const device = await emulatedDevice({}, { COPY_DELAY_US: 300 });
    const expected = noise(300 * KIB, 1);
    const region = await device.allocate(expected.length);
    const slot = await device.ring.take();
    slot.set(noise(slot.length, 2));
    const steps = [
      region.copyIn(0, noise(300 * KIB, 3)), // as several messages
      region.copyIn(5, slot),
      region.copyIn(0, expected.subarray(0, 200 * KIB)),
      region.clear(200 * KIB, 100 * KIB),
      region.copyIn(200 * KIB, expected.subarray(200 * KIB)),
    ];
    await Promise.all(steps);
    expect(Buffer.compare(await bytesOf(region), expected)).toBe(0);
    const other = await device.allocate(expected.length);
    await other.copyFrom(region, 0, 0, expected.length);
    await other.copyFrom(region, 10, 100, 50);
    expect(Buffer.compare(await bytesOf(other), Buffer.concat([expected.subarray(0, 100), expected.subarray(10, 60), expected.subarray(150)]))).toBe(0); // prettier-ignore
    expect(device.info()).toMatchObject({ backing: 'cuda-vmm', allocatedBytes: 2 * 320 * KIB, cuda: { name: 'Emulated device 0', granularityBytes: 64 * KIB } }); // prettier-ignore
  });

  it('of 0 bytes takes none, and refuses what lies outside of a region', async () => {
    const device = await emulatedDevice();
    const empty = await filled(device, new Uint8Array(0));
    expect([empty.export(), device.info().allocatedBytes]).toEqual([{ kind: 'none' }, 0]);
    const region = await device.allocate(100);
    await expect(region.copyIn(50, new Uint8Array(51))).rejects.toThrow(RangeError);
    await expect(region.clear(-1, 1)).rejects.toThrow(RangeError);
    await expect(region.copyFrom(region, 60, 0, 41)).rejects.toThrow(RangeError);
    device.free(region);
    device.free(region);
    expect(device.info().allocatedBytes).toBe(0);
  });

  it('goes from the pinned ring without a copy, and slots are not used again before their bytes are read', async () => {
    const bytes = noise(3 * MIB, 4);
    const volume = await commit(await testStore(), 'v', { 'a.bin': bytes });
    const device = await emulatedDevice({ ring: { slots: 3, slotBytes: 64 * KIB } }, { COPY_DELAY_US: 2000 });
    const before = emulatedCuda().report().bytes;
    const plan = planLoad(await readModelSource(volume, 'a.bin'), { path: 'a.bin' });
    const loads = await Promise.all([1, 2, 3].map(() => loadRegions(volume, plan, device)));
    for (const { regions, metrics } of loads) {
      expect(Buffer.compare(await bytesOf(regions[0] as CudaRegion), bytes)).toBe(0);
      expect(metrics.stalls).toBeGreaterThan(0);
    }
    const { pageable, hostToDevice } = emulatedCuda().report().bytes;
    expect([pageable - before.pageable, hostToDevice - before.hostToDevice]).toEqual([0, 3 * bytes.length]);
  });

  it('keeps its ring whole whatever loads are aborted or fail, at any moment, beside others that go on', async () => {
    const files = Object.fromEntries(['a', 'b', 'c'].map((name, i) => [name, noise(MIB, i)]));
    const volume = await commit(await testStore(), 'v', files);
    const device = await emulatedDevice({ ring: { slots: 3, slotBytes: 64 * KIB } }, { COPY_DELAY_US: 200 });
    const load = async (path: string, abortAfter?: number): Promise<CudaRegion | undefined> => {
      const abort = new AbortController();
      let reports = 0;
      const onProgress = (): void => void (++reports === abortAfter && abort.abort(new Error('enough')));
      if (abortAfter === 0) abort.abort(new Error('enough'));
      const plan = planLoad(await readModelSource(volume, path), { path });
      const loading = loadRegions(volume, plan, device, { signal: abort.signal, onProgress });
      return loading.then(
        ({ regions }) => regions[0] as CudaRegion,
        (error: unknown) => void expect(String(error)).toMatch(/enough|CUDA_ERROR_UNKNOWN/),
      );
    };
    for (let round = 0; round < 6; round++) {
      if (round === 4) emulatedCuda({ COPY_DELAY_US: 200, FAIL: 'cuMemcpyHtoDAsync_v2:7:999' });
      const regions = await Promise.all([load('a'), load('b', round), load('c', round * 3), load('b', 1)]);
      if (regions[0] !== undefined) expect(Buffer.compare(await bytesOf(regions[0]), files['a']!)).toBe(0);
      else expect(emulatedCuda().report().fired).toBe(true);
      for (const region of regions) if (region !== undefined) device.free(region);
      expect(device.info().allocatedBytes).toBe(0);
    }
    const slots = Array.from({ length: 4 }, () => device.ring.tryTake());
    expect(slots.map((slot) => slot !== undefined)).toEqual([true, true, true, false]);
    expect(new Set(slots.map((slot) => slot?.byteOffset)).size).toBe(4);
  });

  it('that has run out is an error that names the size and what the driver says', async () => {
    const device = await emulatedDevice({ capacityBytes: 8 * MIB }, { MEMORY_BYTES: 2 * MIB });
    await expect(device.allocate(9 * MIB)).rejects.toMatchObject({ code: 'CAIRN_GPU_MODEL_TOO_LARGE' });
    const region = await device.allocate(MIB + 1);
    await expect(device.allocate(MIB)).rejects.toMatchObject({
      code: 'CAIRN_GPU_OUT_OF_MEMORY',
      neededBytes: MIB,
      message: expect.stringContaining('CUDA_ERROR_OUT_OF_MEMORY'),
    });
    device.free(region);
    await device.allocate(2 * MIB);
  });

  it('that another process took makes idle models go, and only when that is not enough an error', async () => {
    const volume = await commit(await testStore(), 'v', Object.fromEntries(['a', 'b', 'c'].map((name, i) => [name, noise(MIB, i)])));
    // The registry believes in 64 MiB.
    const device = await emulatedDevice({ capacityBytes: 64 * MIB }, { MEMORY_BYTES: 2 * MIB });
    const registry = new Registry({ device });
    onTestFinished(() => registry.close());
    const acquire = async (path: string): ReturnType<Registry['acquire']> =>
      registry.acquire(volume, planLoad(await readModelSource(volume, path), { path }));
    const a = await acquire('a');
    (await acquire('b')).release();
    const c = await acquire('c');
    expect(registry.counters).toMatchObject({ evictions: 1, failures: 0 });
    await expect(acquire('b')).rejects.toMatchObject({ code: 'CAIRN_GPU_OUT_OF_MEMORY' });
    for (const [lease, seed] of [
      [a, 0],
      [c, 2],
    ] as const)
      // prettier-ignore
      expect(Buffer.compare(await bytesOf(lease.regions[0] as CudaRegion), noise(MIB, seed))).toBe(0);
  });

  it('is given up by an older version that nobody uses when the newer one does not fit beside it', async () => {
    const bytes = noise(MIB, 1);
    const volume = await commit(await testStore(), 'v', { a: bytes });
    const device = await emulatedDevice({ capacityBytes: 64 * MIB }, { MEMORY_BYTES: MIB });
    const registry = new Registry({ device });
    onTestFinished(() => registry.close());
    const acquire = async (): ReturnType<Registry['acquire']> =>
      registry.acquire(volume, planLoad(await readModelSource(volume, 'a'), { path: 'a' }), { lineage: 'a' });
    const old = await acquire();
    bytes[9]! ^= 1;
    await volume.writeFile('a', bytes);
    await volume.commit();
    await expect(acquire()).rejects.toMatchObject({ code: 'CAIRN_GPU_OUT_OF_MEMORY' });
    old.release();
    const next = await acquire();
    expect(next.metrics).toMatchObject({ readBytes: MIB, reusedBytes: 0 });
    expect(Buffer.compare(await bytesOf(next.regions[0] as CudaRegion), bytes)).toBe(0);
    expect(registry.list()).toHaveLength(1);
  });

  it('is not reached by calls of another thread, and all of a device come from one', async () => {
    const { path } = emulatedCuda();
    const before = emulatedCuda().report().threads;
    const device = await emulatedDevice();
    await bytesOf(await filled(device, noise(200 * KIB, 1)));
    const alloc = koffi.load(path).func('int cuMemAlloc_v2(void *address, size_t size)');
    expect(alloc(Buffer.alloc(8), 4096)).toBe(201);
    // One of the device, and this one if it had made no call yet.
    expect(emulatedCuda().report().threads - before).toBeLessThanOrEqual(2);
  });

  it('that does not hold what was copied there is found by reading it back', async () => {
    const trusting = await emulatedDevice({}, { CORRUPT: 2 });
    const region = await filled(trusting, noise(200 * KIB, 1));
    expect(Buffer.compare(await bytesOf(region), noise(200 * KIB, 1))).not.toBe(0);
    const checking = await emulatedDevice({ readBack: true });
    expect(Buffer.compare(await bytesOf(await filled(checking, noise(200 * KIB, 1))), noise(200 * KIB, 1))).toBe(0);
    emulatedCuda({ CORRUPT: 2 });
    await expect(filled(checking, noise(200 * KIB, 1))).rejects.toMatchObject({ code: 'CAIRN_GPU_READ_BACK', offset: 64 * KIB });
  });

  it('without virtual memory management is shared by IPC handles', async () => {
    const device = await emulatedDevice({}, { VMM: 0 });
    const region = await filled(device, noise(100, 1));
    const exported = region.export();
    expect(exported).toMatchObject({ kind: 'cuda-ipc', allocationBytes: 2 * MIB, handle: expect.stringMatching(/^[0-9a-f]{128}$/) });
    expect(Buffer.compare(await bytesOf(region), noise(100, 1))).toBe(0);
    await expect(device.adopt(0, 100)).rejects.toMatchObject({ code: 'CAIRN_INVALID_ARGUMENT' });
  });

  it('is not inherited by processes that are started for other things', async () => {
    const region = await filled(await emulatedDevice(), noise(10, 1));
    expect(region.export().kind).toBe('cuda-vmm');
    expect(String(spawnSync('ls', ['-l', '/proc/self/fd']).stdout)).not.toContain('emulated-cuda');
  });

  it('lets its process end by process.exit() with its own code, also with copies under way', async () => {
    const library = buildEmulatedCuda(tempDir());
    const script = `import { CudaDevice } from '@cairn/gpu-runner';
      const device = await CudaDevice.open();
      const region = await device.allocate(100_000);
      const copies = Array.from({ length: 100 }, () => region.copyIn(0, new Uint8Array(100_000)));
      await copies[0];
      process.exit(7);`;
    const words = ['--input-type=module', '-e', script];
    const here = fileURLToPath(new URL('.', import.meta.url));
    // What goes wrong here does so by chance.
    const environment = { CAIRN_GPU_LIBCUDA: library, EMULATED_CUDA_COPY_DELAY_US: '500' };
    const runs = Array.from({ length: 4 }, () => new Process(process.execPath, words, environment, 'ignore', here).ended);
    for (const run of await Promise.all(runs)) expect(run).toMatchObject({ code: 7, signal: null });
  });

  it('moves to a new version by copies within the device, and only what changed crosses the bus', async () => {
    const bytes = noise(24 * MIB, 1);
    const volume = await commit(await testStore(), 'v', { 'a.bin': bytes });
    const registry = new Registry({ device: await emulatedDevice({ ring: { slots: 4, slotBytes: MIB } }) });
    onTestFinished(() => registry.close());
    const acquire = async (): ReturnType<Registry['acquire']> =>
      registry.acquire(volume, planLoad(await readModelSource(volume, 'a.bin'), { path: 'a.bin' }), { lineage: 'a' });
    const old = await acquire();
    for (const at of [5 * MIB, 5 * MIB + 1, 20 * MIB]) bytes[at]! ^= 1;
    await volume.writeFile('a.bin', bytes);
    await volume.commit();
    const before = emulatedCuda().report().bytes;
    const next = await acquire();
    const after = emulatedCuda().report().bytes;
    const moved = { in: after.hostToDevice - before.hostToDevice, within: after.deviceToDevice - before.deviceToDevice };
    expect(moved.in + moved.within).toBe(bytes.length);
    // Two chunks, which are of 64 KiB on average, and at most twice as long.
    expect(moved.in).toBeLessThanOrEqual(4 * 128 * KIB);
    expect(moved.in).toBe(next.metrics.readBytes);
    expect(Buffer.compare(await bytesOf(next.regions[0] as CudaRegion), bytes)).toBe(0);
    expect(Buffer.compare(await bytesOf(old.regions[0] as CudaRegion), noise(24 * MIB, 1))).toBe(0);
  });

  it('of somebody else is filled through its descriptor, and stays his when it was let go', async () => {
    const [mine, theirs] = [await emulatedDevice(), await emulatedDevice()];
    const region = await theirs.allocate(100 * KIB);
    await region.seal();
    const exported = region.export();
    if (exported.kind !== 'cuda-vmm') throw new Error(exported.kind);
    const adopted = await mine.adopt(exported.descriptor, 100 * KIB);
    await adopted.copyIn(0, noise(100 * KIB, 5));
    mine.free(adopted);
    expect(Buffer.compare(await bytesOf(region), noise(100 * KIB, 5))).toBe(0);
    const file = fs.openSync('/dev/null', 'r');
    onTestFinished(() => fs.closeSync(file));
    await expect(mine.adopt(file, 5)).rejects.toMatchObject({ code: 'CAIRN_GPU_CUDA', call: 'cuMemImportFromShareableHandle' });
    // Of another size than it was said to be.
    await expect(mine.adopt(exported.descriptor, MIB)).rejects.toMatchObject({ code: 'CAIRN_GPU_CUDA', call: 'cuMemMap' });
  });

  it('is given back exactly whichever call of the driver fails, and the error says which', async () => {
    const volume = await commit(await testStore(), 'v', { 'a.bin': noise(150 * KIB, 1), 'b.bin': noise(150 * KIB, 1).with(9, 1) });
    const plans = await Promise.all(['a.bin', 'b.bin'].map(async (path) => planLoad(await readModelSource(volume, path), { path })));
    const struck = new Set<string>();
    const outcomes = { errors: 0, whole: 0 };
    for (const name of ['*', 'cuEventQuery'])
      for (let call = 1, fired = true; fired; call++) {
        const { path } = emulatedCuda({ COPY_DELAY_US: 3000, FAIL: `${name}:${call}:999` });
        const failure = await use(path).then(
          () => undefined,
          (error: unknown) => error,
        );
        expectNothingLeft();
        ({ fired } = emulatedCuda().report());
        if (failure === undefined) outcomes.whole++;
        else {
          outcomes.errors++;
          expect(failure).toMatchObject({ code: 'CAIRN_GPU_CUDA', result: 999, resultName: 'CUDA_ERROR_UNKNOWN' });
          struck.add((failure as unknown as { call: string }).call);
        }
      }
    // Calls that give back are made once more instead.
    expect(outcomes.whole).toBeGreaterThan(5);
    expect([...struck]).toEqual(expect.arrayContaining(['cuInit', 'cuMemHostRegister_v2', 'cuMemCreate', 'cuMemSetAccess', 'cuMemcpyHtoDAsync_v2', 'cuMemcpyDtoDAsync_v2', 'cuEventRecord', 'cuEventQuery', 'cuMemExportToShareableHandle'])); // prettier-ignore

    /** A load, a reload that copies within the device, and the end. */
    async function use(driverPath: string): Promise<void> {
      await using device = await CudaDevice.open({ driverPath, ring: { slots: 2, slotBytes: 128 * KIB } });
      await using registry = new Registry({ device });
      const old = await registry.acquire(volume, plans[0]!, { lineage: 'v' });
      using next = await registry.acquire(volume, plans[1]!, { lineage: 'v' });
      old.release();
      expect(Buffer.compare(await bytesOf(next.regions[0] as CudaRegion), noise(150 * KIB, 1).with(9, 1))).toBe(0);
    }
  });
});

it('says what was looked for where there is no driver', async () => {
  await expect(CudaDevice.open({ driverPath: '/no/such/libcuda.so.1' })).rejects.toMatchObject({
    code: 'CAIRN_GPU_NO_CUDA_DRIVER',
    lookedFor: [expect.stringContaining('/no/such/libcuda.so.1')],
    hint: expect.stringContaining('CAIRN_GPU_LIBCUDA'),
  });
  await expect(CudaDevice.open({ ring: { slots: 0 } })).rejects.toMatchObject({ code: 'CAIRN_INVALID_ARGUMENT' });
  await expect(CudaDevice.open({ ordinal: -1 })).rejects.toMatchObject({ code: 'CAIRN_INVALID_ARGUMENT' });
});
