import { InvalidArgumentError } from '@cairn/core';
import { CudaDevice } from './cuda/cuda-device.js';
import type { Device } from './device.js';
import { HostDevice } from './host-device.js';

/** A device by its id: `host`, `cuda:0`. @throws InvalidArgumentError, NoCudaDriverError, CudaError */
export async function openDevice(id: string, capacityBytes: number | undefined): Promise<Device> {
  const capacity = capacityBytes === undefined ? {} : { capacityBytes };
  if (id === 'host') return new HostDevice(capacity);
  const ordinal = /^cuda:(\d{1,3})$/.exec(id)?.[1];
  if (ordinal === undefined) throw new InvalidArgumentError(`no device '${id}'`, "devices are 'host' and 'cuda:0', 'cuda:1', …");
  return CudaDevice.open({ ordinal: Number(ordinal), ...capacity });
}
