import { CudaDevice, type CudaDeviceOptions } from '@cairn/gpu-runner';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { EmulatedCuda, emulatedDescriptors, NOTHING_ALIVE, type CudaSettings } from '../support/emulated-cuda.js';

let built: EmulatedCuda | undefined;

/** The emulated driver of this process, built when first asked for; settings hold until the running test is done. */
export function emulatedCuda(settings?: CudaSettings): EmulatedCuda {
  if (built === undefined) {
    const folder = mkdtempSync(join(tmpdir(), 'cairn-cuda-'));
    built = new EmulatedCuda(folder);
    // What is loaded stays loaded without its file; processes that are started with it have one of their own.
    rmSync(folder, { recursive: true });
  }
  if (settings !== undefined) built.set(settings);
  return built;
}

let open = 0;

/** A device of the emulated driver, for the running test. When the last one is closed, nothing may be left of them. */
export async function emulatedDevice(options: CudaDeviceOptions = {}, settings: CudaSettings = {}): Promise<CudaDevice> {
  const { path } = emulatedCuda(settings);
  const device = await CudaDevice.open({ ring: { slots: 3, slotBytes: 64 << 10 }, ...options, driverPath: path });
  open++;
  onTestFinished(async () => {
    await device.close();
    if (--open === 0) expectNothingLeft();
  });
  return device;
}

/** By the accounts of the emulated driver, and by the descriptors of this process. */
export function expectNothingLeft(): void {
  const { alive, faults } = emulatedCuda().report();
  expect({ ...alive, faults, descriptors: emulatedDescriptors() }).toEqual({ ...NOTHING_ALIVE, faults: 0, descriptors: 0 });
}
