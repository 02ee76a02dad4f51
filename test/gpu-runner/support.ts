import { openTemporaryStore, type Store, type Volume } from '@cairn/core';
import { HostDevice, type Device, type DeviceInfo, type Region, type RegionExport } from '@cairn/gpu-runner';
import fs from 'node:fs';
import { onTestFinished } from 'vitest';
import { noise } from '../support/random.js';

export interface TestTensor {
  name: string;
  dtype: string;
  shape: number[];
  bytes: Uint8Array;
}

/** A safetensors file, tensors one behind the other. */
export function safetensors(tensors: readonly TestTensor[]): Uint8Array {
  let at = 0;
  const entries = tensors.map(({ name, dtype, shape, bytes }) => {
    const offsets = [at, (at += bytes.length)];
    return [name, { dtype, shape, data_offsets: offsets }];
  });
  const json = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return new Uint8Array(Buffer.concat([length, json, ...tensors.map(({ bytes }) => bytes)]));
}

export function tensor(name: string, dtype: string, shape: number[], elementBytes: number, seed: number): TestTensor {
  return { name, dtype, shape, bytes: noise(shape.reduce((product, length) => product * length, 1) * elementBytes, seed) };
}

/** A store of the running test's own. */
export async function testStore(): Promise<Store> {
  const store = await openTemporaryStore({ workers: 1 });
  onTestFinished(() => store.close());
  return store;
}

export async function commit(store: Store, name: string, files: Record<string, Uint8Array | string>): Promise<Volume> {
  const volume = await store.volumes.fromName(name, { createIfMissing: true });
  for (const [path, data] of Object.entries(files)) await volume.writeFile(path, data);
  await volume.commit();
  return volume;
}

export function hostDevice(options: ConstructorParameters<typeof HostDevice>[0] = {}): HostDevice {
  const device = new HostDevice({ capacityBytes: 1 << 30, ...options });
  onTestFinished(() => device.close());
  return device;
}

/** Of host memory. */
export function descriptorOf(region: Region): number {
  const exported = region.export();
  if (exported.kind !== 'descriptor') throw new Error(`exported as ${exported.kind}`);
  return exported.descriptor;
}

/** What another process would see: the exported descriptor, opened anew. */
export function contentOf(region: Region): Buffer {
  return fs.readFileSync(`/proc/self/fd/${descriptorOf(region)}`);
}

/** A device whose memory is reached by copies only, as a GPU's is: with a delay, so that copies overlap reads. */
export class StagedDevice implements Device {
  readonly id = 'staged';
  private readonly regions = new Set<StagedRegion>();
  private readonly delayMs: number;
  /** Copies under way now, and the most that ever were. */
  active = 0;
  mostActive = 0;

  constructor(delayMs = 0) {
    this.delayMs = delayMs;
  }

  async allocate(sizeBytes: number): Promise<Region> {
    const region = new StagedRegion(sizeBytes, async () => {
      this.mostActive = Math.max(this.mostActive, ++this.active);
      await new Promise((resolve) => setTimeout(resolve, this.delayMs));
      this.active--;
    });
    this.regions.add(region);
    return region;
  }

  free(region: Region): void {
    this.regions.delete(region as StagedRegion);
  }

  info(): DeviceInfo {
    const allocatedBytes = [...this.regions].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    return { id: this.id, backing: 'memory', allocatedBytes, reusableBytes: 0, lingeringBytes: 0, capacityBytes: 1 << 30 };
  }

  async close(): Promise<void> {
    this.regions.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

export class StagedRegion implements Region {
  readonly sizeBytes: number;
  readonly dirty = true;
  readonly memory: Uint8Array;
  private readonly pause: () => Promise<void>;

  constructor(sizeBytes: number, pause: () => Promise<void>) {
    this.sizeBytes = sizeBytes;
    this.memory = new Uint8Array(sizeBytes).fill(0xaa);
    this.pause = pause;
  }

  /** Takes the bytes late: a slot that is given back too early shows. */
  async copyIn(offset: number, source: Uint8Array): Promise<void> {
    await this.pause();
    this.memory.set(source, offset);
  }

  async copyFrom(source: Region, sourceOffset: number, offset: number, length: number): Promise<void> {
    this.memory.set((source as StagedRegion).memory.subarray(sourceOffset, sourceOffset + length), offset);
  }

  async seal(): Promise<void> {}

  export(): RegionExport {
    throw new Error('not for other processes');
  }
}
