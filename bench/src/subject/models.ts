import { closeSync, openSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';
import {
  Client,
  HostDevice,
  loadRegions,
  ModelService,
  planLoad,
  readModelSource,
  Registry,
  SlotRing,
  startDaemon,
  type LoadMetrics,
  type Region,
  type RemoteModel,
  type RunningDaemon,
  type ServedModel,
} from '@cairn/gpu-runner';
import { SlotSink } from './slot-sink.js';
import { storeIn, volumeIn, VOLUME } from './stores.js';

/** Where a model goes: memory of the host that processes share, or the slots that a device of its own would take it from. */
export type LoadTarget = 'host' | 'slots';

/** The loader's own slots: what the plain reads go into, too. */
const SLOTS = 8;
const SLOT_BYTES = 8 * (1 << 20);
const MIB = 1 << 20;
const GIB = 2 ** 30;

/** One device for all loads of this process: memory that was touched once is used again. */
const host = new HostDevice();
const ring = new SlotRing({ slots: SLOTS, slotBytes: SLOT_BYTES });
/** Versions that were made: each has other bytes than the ones before. */
let changes = 0;
/** Of the last load of `loadModel`. */
let loaded: Region | undefined;
let daemon: RunningDaemon | undefined;
let attached: { client: Client; model: RemoteModel } | undefined;
const services = new Map<string, ModelService>();
let served: ServedModel | undefined;

export const modelOperations = {
  /** Loads one file of the volume's head from its plan to the last byte. @returns milliseconds */
  async loadModel(dir: string, path: string, target: LoadTarget, verify: boolean): Promise<number> {
    freeLoaded();
    return target === 'host' ? loadToHost(dir, path, verify) : loadToSlots(dir, path, verify);
  },

  /** Compares a load with a plain file: host memory as it stands, slots as they pass. */
  async checkModel(dir: string, path: string, target: LoadTarget, verify: boolean, file: string): Promise<void> {
    if (target === 'slots') return void (await loadToSlots(dir, path, verify, file));
    if (loaded === undefined) throw new Error('nothing was loaded');
    const block = Buffer.alloc(MIB);
    const fd = openSync(file, 'r');
    try {
      for (let at = 0; at < loaded.sizeBytes; at += block.length) {
        const part = block.subarray(0, Math.min(block.length, loaded.sizeBytes - at));
        if (readSync(fd, part, 0, part.length, at) !== part.length || part.compare(loaded.window!(at, part.length)) !== 0)
          throw new Error(`the loaded model differs from the file after byte ${at}`);
      }
    } finally {
      closeSync(fd);
    }
  },

  /** Reads a plain file into as much memory of the same kind, as many reads at once as there are slots. @returns milliseconds */
  async readPipeline(path: string, target: LoadTarget): Promise<number> {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      freeLoaded();
      const region = target === 'host' ? await host.allocate(size) : undefined;
      loaded = region;
      const slots = region === undefined ? plainSlots() : undefined;
      let next = 0;
      const lane = async (_unused: unknown, number: number): Promise<void> => {
        for (let at = next; at < size; at = next) {
          next += SLOT_BYTES;
          const bytes = Math.min(SLOT_BYTES, size - at);
          const into = region === undefined ? slots![number]!.subarray(0, bytes) : region.window!(at, bytes);
          for (let done = 0; done < bytes;) {
            const { bytesRead } = await file.read(into, done, bytes - done, at + done);
            if (bytesRead === 0) throw new Error('the file became shorter');
            done += bytesRead;
          }
        }
      };
      const start = performance.now();
      await Promise.all(Array.from({ length: SLOTS }, lane));
      return performance.now() - start;
    } finally {
      await file.close();
    }
  },

  /** Reads a plain file into the slots, 1 MiB at a time, and digests each, in this thread: what any verified load comes down to. @returns milliseconds */
  async readAndDigest(path: string): Promise<number> {
    const { Blake3Hasher } = await import('@napi-rs/blake-hash');
    const slots = plainSlots();
    const fd = openSync(path, 'r');
    try {
      const start = performance.now();
      for (let at = 0; ; at += MIB) {
        const slot = slots[Math.floor(at / SLOT_BYTES) % SLOTS]!;
        const bytes = readSync(fd, slot, at % SLOT_BYTES, MIB, null);
        if (bytes === 0) return performance.now() - start;
        new Blake3Hasher().update(slot.subarray(at % SLOT_BYTES, (at % SLOT_BYTES) + bytes)).digestBuffer();
      }
    } finally {
      closeSync(fd);
    }
  },

  async serveModels(dir: string, socketPath: string): Promise<void> {
    daemon = await startDaemon({ store: storeIn(dir), socketPath, budgetBytes: 16 * GIB });
  },

  /** Has the daemon load a model, and keeps nothing of it. */
  async preload(path: string): Promise<void> {
    (await daemon!.service.load({ volume: VOLUME, path })).release();
  },

  async stopServing(): Promise<void> {
    await daemon?.close();
    daemon = undefined;
  },

  /** Connects to a daemon, takes a model, and reads its first and last byte. @returns milliseconds; the end is not timed */
  async attach(socketPath: string, path: string): Promise<number> {
    const start = performance.now();
    const client = await Client.connect(socketPath);
    const model = await client.load({ volume: VOLUME, path });
    const [byte, { size }] = [Buffer.alloc(1), model.manifest.regions[0]!];
    for (const at of [0, size - 1]) readSync(model.descriptors[0]!, byte, 0, 1, at);
    const elapsed = performance.now() - start;
    attached = { client, model };
    if (!model.shared) throw new Error('the model was not loaded before');
    return elapsed;
  },

  detach(): void {
    attached?.client.close();
    attached = undefined;
  },

  /** Loads the newest version of a model beside the one that is held, lets go of that, and holds the new one. @returns milliseconds, and where the bytes came from */
  async holdNewest(dir: string, path: string): Promise<{ ms: number; metrics: LoadMetrics }> {
    const service = serviceOf(dir);
    const start = performance.now();
    const next = await service.load({ volume: VOLUME, path });
    const ms = performance.now() - start;
    served?.release();
    served = next;
    return { ms, metrics: next.lease.metrics };
  },

  /** The same in the memory of the version that is held. */
  async updateInPlace(dir: string): Promise<{ ms: number; metrics: LoadMetrics }> {
    const start = performance.now();
    served = await serviceOf(dir).update(served!);
    return { ms: performance.now() - start, metrics: served.lease.metrics };
  },

  letGo(): void {
    served?.release();
    served = undefined;
    for (const service of services.values()) service.registry.evictIdle();
  },

  /** Commits a version of a file in which of every `every` MiB one has some bytes changed. @returns how many were */
  async changeBlocks(dir: string, path: string, every: number): Promise<number> {
    const volume = await volumeIn(dir);
    const { size } = await volume.stat(path);
    let changed = 0;
    const bytes = new Uint8Array(8).fill(++changes);
    const file = await volume.open(path, 'r+');
    for (let position = Math.min(every / 2, size / 2 / MIB) * MIB; position < size; position += every * MIB, changed++)
      await file.write(bytes, { position });
    await file.close();
    await volume.commit();
    await volume.close();
    return changed;
  },
};

export async function closeModels(): Promise<void> {
  attached?.client.close();
  await daemon?.close();
  served?.release();
  for (const { registry } of services.values()) await registry.close();
  await host.close();
}

async function loadToHost(dir: string, path: string, verify: boolean): Promise<number> {
  const volume = await volumeIn(dir);
  try {
    const start = performance.now();
    const plan = planLoad(await readModelSource(volume, path), { path });
    const { regions } = await loadRegions(volume, plan, host, { verify });
    const elapsed = performance.now() - start;
    loaded = regions[0];
    return elapsed;
  } finally {
    await volume.close();
  }
}

/** @param file compared with what passes, when given */
async function loadToSlots(dir: string, path: string, verify: boolean, file?: string): Promise<number> {
  const volume = await volumeIn(dir);
  const sink = new SlotSink(ring, file);
  try {
    const start = performance.now();
    const plan = planLoad(await readModelSource(volume, path), { path });
    await loadRegions(volume, plan, sink, { verify });
    const elapsed = performance.now() - start;
    if (sink.takenBytes !== plan.totalBytes) throw new Error(`${sink.takenBytes} bytes passed instead of ${plan.totalBytes}`);
    return elapsed;
  } finally {
    await sink.close();
    await volume.close();
  }
}

function freeLoaded(): void {
  if (loaded !== undefined) host.free(loaded);
  loaded = undefined;
}

let slots: Uint8Array[] | undefined;
function plainSlots(): Uint8Array[] {
  return (slots ??= Array.from({ length: SLOTS }, () => new Uint8Array(new SharedArrayBuffer(SLOT_BYTES)).fill(1)));
}

function serviceOf(dir: string): ModelService {
  const known = services.get(dir);
  if (known !== undefined) return known;
  const service = new ModelService({ store: storeIn(dir), registry: new Registry({ device: host }), device: host.id });
  services.set(dir, service);
  return service;
}
