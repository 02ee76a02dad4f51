import {
  bytesPerSecond,
  loadRegions,
  planLoad,
  readModelSource,
  type CudaRegion,
  type Device,
  type LoadPlan,
  stageRates,
  type LoadRequest,
  type Region,
} from '@cairn/gpu-runner';
import type { ReadRequest, ReadView, Work } from '@cairn/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { noEmulatedCuda } from '../support/emulated-cuda.js';
import { noise } from '../support/random.js';
import { emulatedDevice } from './emulated-device.js';
import { commit, contentOf, hostDevice, safetensors, StagedDevice, StagedRegion, tensor, testStore, type TestTensor } from './support.js';

const KINDS = ['memfd', 'shm', 'staged'] as const;

const bytesOf = async (region: Region): Promise<Uint8Array> => {
  if (region instanceof StagedRegion) return region.memory;
  return 'read' in region ? (region as CudaRegion).read(0, region.sizeBytes) : contentOf(region);
};

async function plan(view: ReadView, request: LoadRequest): Promise<LoadPlan> {
  return planLoad(await readModelSource(view, request.path), request);
}

/** Rows and columns by the definition, an element at a time. */
function expectedPart({ shape, bytes }: TestTensor, elementBytes: number, axis: number, rank: number, worldSize: number): Uint8Array {
  const [rows = 1, columns = 1] = shape.length === 1 ? [shape[0]!, 1] : shape;
  const [height, width] = axis === 0 ? [rows / worldSize, columns] : [rows, columns / worldSize];
  const out = new Uint8Array(height * width * elementBytes);
  for (let row = 0, to = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const element = ((axis === 0 ? rank * height : 0) + row) * columns + (axis === 1 ? rank * width : 0) + column;
      for (let byte = 0; byte < elementBytes; byte++) out[to++] = bytes[element * elementBytes + byte]!;
    }
  }
  return out;
}

describe.each(noEmulatedCuda === undefined ? [...KINDS, 'emulated cuda' as const] : KINDS)('loading into %s memory', (kind) => {
  /** The ring of the GPU is so small, and its copies so late, that slots are used again and again while copies are under way. */
  const device = async (): Promise<Device> => {
    if (kind === 'emulated cuda') return emulatedDevice({ ring: { slots: 2, slotBytes: 50_000 } }, { COPY_DELAY_US: 100 });
    return kind === 'staged' ? new StagedDevice() : hostDevice({ backing: kind });
  };

  it('gives files byte for byte, of any size', async () => {
    const files = { 'm/empty': new Uint8Array(0), 'm/one': noise(1, 1), 'm/page': noise(4097, 2), 'm/large.bin': noise((6 << 20) + 3, 3) };
    const volume = await commit(await testStore(), 'v', files);
    const loadPlan = await plan(volume, { path: 'm' });
    const { regions } = await loadRegions(volume, loadPlan, await device(), { ring: { slots: 3, slotBytes: 1 << 20 } });
    expect(loadPlan.files.map(({ path }) => path)).toEqual(['m/empty', 'm/large.bin', 'm/one', 'm/page']);
    for (const { path, region } of loadPlan.files)
      expect(Buffer.compare(await bytesOf(regions[region!]!), files[path as keyof typeof files]), path).toBe(0);
  });

  it('gives tensors of every size and alignment byte for byte, and nothing between them', async () => {
    const store = await testStore();
    const kinds = [['U8', 1], ['F8_E4M3', 1], ['BF16', 2], ['F16', 2], ['F32', 4], ['I64', 8], ['C64', 8], ['X_NEW', 3]] as const; // prettier-ignore
    const shapes = fc.array(fc.tuple(fc.nat({ max: kinds.length - 1 }), fc.array(fc.integer({ min: 0, max: 70 }), { maxLength: 3 })), { minLength: 1, maxLength: 12 }); // prettier-ignore
    const on = await device();
    let run = 0;
    await fc.assert(
      fc.asyncProperty(
        shapes,
        fc.constantFrom(1, 64, 256, 4096),
        fc.constantFrom(1, 5000, 1 << 30),
        async (list, alignmentBytes, maxRegionBytes) => {
          const tensors = list.map(([number, shape], i) => tensor(`t.${i}`, kinds[number]![0], shape, kinds[number]![1], i + run));
          const volume = await commit(store, `v${run++}`, { 'm.safetensors': safetensors(tensors) });
          const loadPlan = await plan(volume, { path: 'm.safetensors', layout: 'tensors', alignmentBytes, maxRegionBytes });
          const { regions } = await loadRegions(volume, loadPlan, on);
          const expected = regions.map(({ sizeBytes }) => new Uint8Array(sizeBytes));
          for (const { name, region, offset, size } of loadPlan.tensors) {
            expect(offset % alignmentBytes).toBe(0);
            const { bytes } = tensors.find((one) => one.name === name)!;
            expect(size).toBe(bytes.length);
            expected[region]!.set(bytes, offset);
          }
          for (const [i, region] of regions.entries()) expect(Buffer.compare(await bytesOf(region), expected[i]!)).toBe(0);
          for (const region of regions) on.free(region);
        },
      ),
      { numRuns: 15 },
    );
  });

  it('gives each rank its rows and columns', async () => {
    const w = tensor('w', 'BF16', [24, 48], 2, 1);
    const big = tensor('big', 'F32', [120, 1200], 4, 2);
    const bias = tensor('bias', 'F32', [24], 4, 3);
    const volume = await commit(await testStore(), 'v', { 'm.safetensors': safetensors([w, big, bias]) });
    for (const worldSize of [1, 4])
      for (let rank = 0; rank < worldSize; rank++)
        for (const axis of [0, 1]) {
          const slice = { rank, worldSize, ...(axis === 0 ? { rows: ['w', 'big'] } : { columns: ['w', 'big'] }) };
          const loadPlan = await plan(volume, { path: 'm.safetensors', slice });
          const { regions } = await loadRegions(volume, loadPlan, await device(), { ring: { slots: 2, slotBytes: 50_000 } });
          for (const { name, region, offset, size, shape } of loadPlan.tensors) {
            const got = (await bytesOf(regions[region]!)).subarray(offset, offset + size);
            const whole = { w, big, bias }[name]!;
            expect(shape).toEqual(name === 'bias' ? [24] : whole.shape.with(axis, whole.shape[axis]! / worldSize));
            const wanted = name === 'bias' ? whole.bytes : expectedPart(whole, name === 'w' ? 2 : 4, axis, rank, worldSize);
            expect(Buffer.compare(got, wanted), `${name} ${rank}/${worldSize} along ${axis}`).toBe(0);
          }
        }
  });

  it('frees everything when it is aborted in the middle', async () => {
    // Host memory is filled in pieces of 64 MiB, other by slots.
    const bytes = kind === 'memfd' || kind === 'shm' ? 80 << 20 : 24 << 20;
    const volume = await commit(await testStore(), 'v', { 'a.bin': noise(bytes, 1) });
    const on = await device();
    const abort = new AbortController();
    const reports: number[] = [];
    const load = loadRegions(volume, await plan(volume, { path: 'a.bin' }), on, {
      signal: abort.signal,
      onProgress: ({ bytes: done }) => {
        reports.push(done);
        abort.abort(new Error('enough'));
      },
    });
    await expect(load).rejects.toThrow('enough');
    expect(reports[0]).toBeLessThan(bytes);
    expect(on.info().allocatedBytes).toBe(0);
  });
});

it('reads no chunk twice to verify it, where slots hold more than one', async () => {
  const tensors = [3_000_000, 100, 1 << 20, 2_500_001].map((size, i) => tensor(`t.${i}`, 'U8', [size], 1, i));
  const volume = await commit(await testStore(), 'v', { 'm.safetensors': safetensors(tensors), 'cut.bin': noise(9 << 20, 9) });
  for (const path of ['m.safetensors', 'cut.bin']) {
    const asked: [from: number, to: number][] = [];
    const readInto = (requests: ReadRequest[], options: Work): Promise<number> => {
      for (const { position = 0, target } of requests) asked.push([position, position + target.length]);
      return volume.readInto(requests, options);
    };
    const view = new Proxy(volume, { get: (own, name) => (name === 'readInto' ? readInto : Reflect.get(own, name)) as unknown });
    const device = new StagedDevice();
    const loadPlan = await plan(volume, { path });
    const { regions } = await loadRegions(view, loadPlan, device, { ring: { slots: 3, slotBytes: 2 << 20 }, verify: true });
    expect(Buffer.compare((regions[0] as StagedRegion).memory, await volume.readFile(path))).toBe(0);
    expect(asked.length).toBeGreaterThan(3);
    for await (const { offset, length } of volume.chunks(path))
      expect(asked.filter(([from, to]) => from < offset + length && to > offset)).toHaveLength(1);
  }
});

it('keeps a slow device busy with few slots, and says how often reading had to wait', async () => {
  const bytes = noise(8 << 20, 1);
  const volume = await commit(await testStore(), 'v', { 'a.bin': bytes });
  const device = new StagedDevice(5);
  const reports: number[] = [];
  const { regions, metrics } = await loadRegions(volume, await plan(volume, { path: 'a.bin' }), device, {
    ring: { slots: 4, slotBytes: 256 << 10 },
    onProgress: ({ bytes: done }) => reports.push(done),
  });
  expect(Buffer.compare((regions[0] as StagedRegion).memory, bytes)).toBe(0);
  expect(device.mostActive).toBeGreaterThan(1);
  expect(device.mostActive).toBeLessThanOrEqual(4);
  expect(metrics.stalls).toBeGreaterThan(10);
  expect(metrics).toMatchObject({ totalBytes: bytes.length, readBytes: bytes.length, copiedBytes: bytes.length, reusedBytes: 0 });
  expect(stageRates(metrics)).toEqual({ read: (bytes.length / metrics.readMs) * 1000, copy: (bytes.length / metrics.copyMs) * 1000 });
  expect(bytesPerSecond(metrics)).toBe((bytes.length / metrics.elapsedMs) * 1000);
  // What the store reads straight into the memory is not copied.
  const host = await loadRegions(volume, await plan(volume, { path: 'a.bin' }), hostDevice());
  expect(host.metrics).toMatchObject({ readBytes: bytes.length, copiedBytes: 0, stalls: 0 });
  expect(stageRates(host.metrics).copy).toBe(0);
  expect(reports).toEqual([...reports].sort((a, b) => a - b));
  expect(reports.at(-1)).toBe(bytes.length);
});
