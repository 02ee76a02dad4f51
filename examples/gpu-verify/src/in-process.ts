import { createHash } from 'node:crypto';
import {
  CudaDevice,
  loadRegions,
  planLoad,
  readModelSource,
  Registry,
  type LoadPlan,
  type LoadRequest,
  type Region,
} from '@cairn/gpu-runner';
import { sha256, type Model } from './model.js';
import { equal, outcomeOf, type VerificationRecord } from './record.js';

const MIB = 1 << 20;

/** What one process sees of its device. */
export async function checkDevice(record: VerificationRecord, device: CudaDevice, model: Model): Promise<void> {
  const { volume, large, tensors } = model;
  const ordinal = Number(device.id.slice('cuda:'.length));
  const planOf = async (path: string, request: Partial<LoadRequest> = {}): Promise<LoadPlan> =>
    planLoad(await readModelSource(volume, path), { path, ...request });

  await record.check(`a file of ${large.length} bytes is there byte for byte, verified on the way`, async () => {
    const { regions, metrics } = await loadRegions(volume, await planOf('large.bin'), device, { verify: true });
    equal(await digestOf(regions[0]!), sha256(large), 'content');
    device.free(regions[0]!);
    const { elapsedMs, readMs, copyMs, stalls } = metrics;
    const stages = `${Math.round(elapsedMs)} ms, of which reads ${Math.round(readMs)} and copies ${Math.round(copyMs)}, overlapping; ${stalls} stalls`;
    return record.figure(`${record.rate(large.length, elapsedMs)}: ${stages}`);
  });

  await record.check('tensors of every dtype are where the plan says, with zeros between them', async () => {
    const plan = await planOf('tensors.safetensors', { layout: 'tensors' });
    const { regions } = await loadRegions(volume, plan, device);
    let end = 0;
    for (const { name, region, offset, size } of [...plan.tensors].sort((a, b) => a.offset - b.offset)) {
      const gap = await regionOf(regions[region]!).read(end, offset - end);
      equal(
        gap.every((byte) => byte === 0),
        true,
        'zeros in a gap',
      );
      equal(sha256(await regionOf(regions[region]!).read(offset, size)), sha256(tensors.parts.get(name)!), name);
      end = offset + size;
    }
    for (const region of regions) device.free(region);
  });

  await record.check('copies from the pinned ring, and from memory that is not pinned', async () => {
    const region = await device.allocate(16 * device.ring.slotBytes);
    const slots = [await device.ring.take(), await device.ring.take()];
    const plain = slots.map(({ length }) => new Uint8Array(length));
    const copies = async (sources: Uint8Array[]): Promise<string> => {
      const rounds = record.isHardware ? 128 : 2;
      const start = performance.now();
      await Promise.all(Array.from({ length: rounds }, (_, i) => region.copyIn((i % 16) * device.ring.slotBytes, sources[i % 2]!)));
      return record.rate(rounds * device.ring.slotBytes, performance.now() - start);
    };
    const seen = `${await copies(slots)}, ${await copies(plain)}`;
    for (const slot of slots) device.ring.give(slot);
    device.free(region);
    return record.figure(seen);
  });

  await record.check('a new version copies what did not change within the device', async () => {
    await using registry = new Registry({ device });
    using old = await registry.acquire(volume, await planOf('large.bin'), { lineage: 'large' });
    const changed = large.slice();
    changed[large.length >> 1]! ^= 1;
    await volume.writeFile('large.bin', changed);
    await volume.commit();
    using next = await registry.acquire(volume, await planOf('large.bin'), { lineage: 'large' });
    equal(await digestOf(next.regions[0]!), sha256(changed), 'content of the new version');
    equal(await digestOf(old.regions[0]!), sha256(large), 'content of the old version');
    const { readBytes, elapsedMs } = next.metrics;
    if (readBytes > 4 * MIB) throw new Error(`${readBytes} bytes were read`);
    await volume.writeFile('large.bin', large);
    await volume.commit();
    return `${readBytes} bytes read; ${record.figure(`${Math.round(elapsedMs)} ms`)}`;
  });

  await record.check('every copy reads back as it was sent', async () => {
    await using checking = await CudaDevice.open({ ordinal, readBack: true, ring: { slots: 2, slotBytes: MIB } });
    const { regions } = await loadRegions(volume, await planOf('tensors.safetensors'), checking);
    equal(await digestOf(regions[0]!), sha256(tensors.bytes), 'content');
  });

  await record.check('a load that is aborted, and regions that are freed, leave nothing allocated', async () => {
    const before = await device.memory();
    const abort = new AbortController();
    const options = { signal: abort.signal, onProgress: () => abort.abort(new Error('enough')) };
    equal(await outcomeOf(loadRegions(volume, await planOf('large.bin'), device, options)), 'enough', 'outcome');
    for (let i = 0; i < 50; i++) device.free(await device.allocate(16 * MIB));
    const lost = before.freeBytes - (await device.memory()).freeBytes;
    // Page tables of the driver's own may stay; of what was allocated here, each piece alone would be 16 MiB, all of it 800.
    if (lost >= 64 * MIB) throw new Error(`${lost} bytes less are free, unless another process took them`);
    equal(device.info().lingeringBytes, 0, 'bytes that the driver did not take back');
  });

  await record.check('more memory than there is: OutOfMemoryError, with the name that the driver has for it', async () => {
    const { totalBytes } = await device.memory();
    await using greedy = await CudaDevice.open({ ordinal, capacityBytes: 2 ** 50, ring: { slots: 1, slotBytes: MIB } });
    const outcome = await outcomeOf(greedy.allocate(2 * totalBytes));
    if (!/^CAIRN_GPU_OUT_OF_MEMORY .*CUDA_ERROR_OUT_OF_MEMORY/.test(outcome)) throw new Error(outcome);
    return outcome;
  });
}

type ReadableRegion = Awaited<ReturnType<CudaDevice['allocate']>>;

/** All regions of a CudaDevice can be read. */
function regionOf(region: Region): ReadableRegion {
  return region as ReadableRegion;
}

async function digestOf(region: Region): Promise<string> {
  const hash = createHash('sha256');
  const step = 64 * MIB;
  for (let at = 0; at < region.sizeBytes; at += step) hash.update(await regionOf(region).read(at, Math.min(step, region.sizeBytes - at)));
  return hash.digest('hex');
}
