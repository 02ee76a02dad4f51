import fs from 'node:fs';
import { InvalidArgumentError } from '@cairn/core';
import type { Device, Region } from '../device/device.js';

/**
 * Memory of a consumer as regions of a plan, mapped by the device. Regions of 0 bytes need none; for the others `receive` gets as many
 * descriptors, which are closed here: the mapping is what counts. @throws InvalidArgumentError, CudaError
 */
export async function adoptRegions(
  device: Device,
  regionBytes: readonly number[],
  receive: (count: number) => Promise<number[]>,
): Promise<Region[]> {
  if (device.adopt === undefined)
    throw new InvalidArgumentError(
      `the device '${device.id}' fills no memory of others`,
      "ask with 'load': the daemon owns the memory then",
    );
  const count = regionBytes.filter((bytes) => bytes > 0).length;
  const descriptors = count === 0 ? [] : await receive(count);
  const regions: Region[] = [];
  try {
    let next = 0;
    for (const bytes of regionBytes) regions.push(await device.adopt(bytes === 0 ? -1 : descriptors[next++]!, bytes));
    return regions;
  } catch (error) {
    for (const region of regions) device.free(region);
    throw error;
  } finally {
    for (const descriptor of descriptors) fs.closeSync(descriptor);
  }
}
