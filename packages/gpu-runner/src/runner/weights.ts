import fs from 'node:fs';
import { mapPrivately, unmap, view } from '../device/libc.js';
import { TensorNotFoundError } from '../errors.js';
import type { PlannedTensor } from '../plan/load-plan.js';
import { hostPathOf, type Manifest } from '../protocol/manifest.js';

/** A model's weights in a process that uses them. */
export interface Weights {
  readonly manifest: Manifest;
  /** The path that opens a file's bytes, for engines that want a path. Without a name: the model's first file. */
  filePath(name?: string): string;
  /** A file's bytes, mapped: shared with all other processes, until somebody writes to them, who then has a page of his own. */
  file(name?: string): Uint8Array;
  /** A tensor, or this rank's part of it, mapped likewise. @throws TensorNotFoundError */
  tensor(name: string): PlannedTensor & { bytes: Uint8Array };
}

/** Regions opened and mapped on demand. */
export class OpenWeights implements Weights {
  manifest: Manifest;
  private readonly descriptors: number[];
  private readonly mapped = new Map<number, { address: bigint; size: number }>();

  /** Opens all regions: from here on the memory stays, whatever becomes of the daemon. */
  constructor(manifest: Manifest) {
    this.manifest = manifest;
    this.descriptors = [];
    try {
      for (const region of manifest.regions) this.descriptors.push(fs.openSync(hostPathOf(region), 'r'));
    } catch (error) {
      this.release();
      throw error;
    }
  }

  /** Of the same memory, when its content was changed: the regions stay, their descriptors and sizes too. */
  describe(manifest: Manifest): void {
    this.manifest = manifest;
  }

  filePath(name?: string): string {
    return `/proc/self/fd/${this.descriptors[this.regionOf(name)]}`;
  }

  file(name?: string): Uint8Array {
    const region = this.regionOf(name);
    return this.bytes(region, 0, this.manifest.regions[region]!.size);
  }

  tensor(name: string): PlannedTensor & { bytes: Uint8Array } {
    const tensor = this.manifest.tensors.find((one) => one.name === name);
    if (tensor === undefined) throw new TensorNotFoundError(name, this.manifest.path);
    return { ...tensor, bytes: this.bytes(tensor.region, tensor.offset, tensor.size) };
  }

  /** Unmaps and closes. Arrays that were handed out may not be touched afterwards. Idempotent. */
  release(): void {
    for (const { address, size } of this.mapped.values()) unmap(address, size);
    this.mapped.clear();
    for (const descriptor of this.descriptors.splice(0)) fs.closeSync(descriptor);
  }

  private bytes(region: number, offset: number, length: number): Uint8Array {
    if (length === 0) return new Uint8Array(0);
    let mapping = this.mapped.get(region);
    if (mapping === undefined) {
      const { size } = this.manifest.regions[region]!;
      mapping = { address: mapPrivately(this.descriptors[region]!, size), size };
      this.mapped.set(region, mapping);
    }
    return view(mapping.address + BigInt(offset), length);
  }

  private regionOf(name: string | undefined): number {
    const file = this.manifest.files.find(
      ({ path, region }) => region !== undefined && (name === undefined || path === name || path.endsWith(`/${name}`)),
    );
    if (file?.region === undefined) throw new TensorNotFoundError(name ?? 'any file', this.manifest.path);
    return file.region;
  }
}
