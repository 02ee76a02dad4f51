import { closeSync, openSync, readSync } from 'node:fs';
import type { Device, DeviceInfo, Region, RegionExport, SlotRing } from '@cairn/gpu-runner';

/**
 * Stands for a device that fetches bytes from the slots by itself, as a GPU does: nothing is copied here, so that a load into it ends
 * when the bytes are in the slots.
 */
export class SlotSink implements Device {
  readonly id = 'slots';
  readonly ring: SlotRing;
  takenBytes = 0;
  private readonly file: number | undefined;

  /** @param ring is used again and again, as a device's own is; @param file is compared with what passes */
  constructor(ring: SlotRing, file?: string) {
    this.ring = ring;
    this.file = file === undefined ? undefined : openSync(file, 'r');
  }

  async allocate(sizeBytes: number): Promise<Region> {
    return {
      sizeBytes,
      dirty: false,
      copyIn: async (offset, source) => this.take(offset, source),
      copyFrom: () => Promise.reject(new Error('nothing is kept')),
      seal: async () => {},
      export: (): RegionExport => {
        throw new Error('nothing is kept');
      },
    };
  }

  free(): void {}

  info(): DeviceInfo {
    return { id: this.id, backing: 'none', allocatedBytes: 0, reusableBytes: 0, lingeringBytes: 0, capacityBytes: 2 ** 40 };
  }

  async close(): Promise<void> {
    if (this.file !== undefined) closeSync(this.file);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private take(offset: number, source: Uint8Array): void {
    this.takenBytes += source.length;
    if (this.file === undefined) return;
    const expected = Buffer.alloc(source.length);
    if (readSync(this.file, expected, 0, expected.length, offset) !== expected.length || expected.compare(source) !== 0)
      throw new Error(`the slot for byte ${offset} differs from the file`);
  }
}
