import { ATTRIBUTE, GRANULARITY_MINIMUM, STREAM_NON_BLOCKING, allocationProp } from './abi.js';
import { Copies } from './copies.js';
import type { Driver } from './driver.js';
import { Held } from './held.js';
import type { CudaSharing, OpenedDevice, ThreadOptions } from './messages.js';

/** Copies of one region arrive in order; those of different regions may pass each other. */
const STREAMS = 2;
const PAGE_BYTES = 4096;
/** So that handles of memory without virtual memory management never share a block. */
const IPC_GRANULARITY_BYTES = 2 << 20;

/** An open device: its context, current on this thread, its streams, and the pinned ring. */
export interface Session {
  readonly found: OpenedDevice;
  readonly streams: readonly bigint[];
  readonly copies: Copies;
  /** Of the ring's first byte. */
  readonly ringAddress: bigint;
  /** Gives everything back; no work and no memory may be left. @throws DriverFailure; another call goes on where this one stopped */
  close(): void;
}

/** Makes a device this thread's. What was taken is given back when a step fails. @throws DriverFailure */
export function openSession(driver: Driver, options: ThreadOptions): Session {
  const { ordinal, ring, ringBytes } = options;
  const held = new Held();
  try {
    driver.call('cuInit', 0);
    const device = driver.integer('cuDeviceGet', ordinal);
    const context = driver.handle('cuDevicePrimaryCtxRetain', device);
    held.add(() => driver.call('cuDevicePrimaryCtxRelease_v2', device));
    driver.call('cuCtxSetCurrent', context);
    const sharing = options.sharing ?? sharingOf(driver, device);
    const granularityBytes = sharing === 'vmm' ? granularityOf(driver, device) : IPC_GRANULARITY_BYTES;

    const memory = new Uint8Array(ring);
    const start = driver.addressOf(memory);
    const ringOffset = Number(-start & BigInt(PAGE_BYTES - 1));
    driver.call('cuMemHostRegister_v2', start + BigInt(ringOffset), ringBytes, 0);
    held.add(() => driver.call('cuMemHostUnregister', start + BigInt(ringOffset)));

    const streams: bigint[] = [];
    for (let i = 0; i < STREAMS; i++) {
      const stream = driver.handle('cuStreamCreate', STREAM_NON_BLOCKING);
      streams.push(stream);
      held.add(() => driver.call('cuStreamDestroy_v2', stream));
    }
    const copies = new Copies(driver);
    held.add(() => copies.destroyEvents());
    const found = { ...describe(driver, device), sharing, granularityBytes, ...freeMemory(driver), ringOffset };
    return { found, streams, copies, ringAddress: start + BigInt(ringOffset), close: () => held.release() };
  } catch (error) {
    releaseTwice(() => held.release());
    throw error;
  }
}

/** Once more where it failed; what fails again is lost with the process. */
function releaseTwice(release: () => void): void {
  try {
    release();
  } catch {
    try {
      release();
    } catch {
      // The error that led here says more.
    }
  }
}

export function freeMemory(driver: Driver): { freeBytes: number; totalBytes: number } {
  const [free, total] = [Buffer.alloc(8), Buffer.alloc(8)];
  driver.call('cuMemGetInfo_v2', free, total);
  return { freeBytes: Number(free.readBigUInt64LE()), totalBytes: Number(total.readBigUInt64LE()) };
}

function describe(driver: Driver, device: number): Pick<OpenedDevice, 'name' | 'uuid' | 'driverVersion'> {
  const name = Buffer.alloc(256);
  driver.call('cuDeviceGetName', name, name.length, device);
  const uuid = Buffer.alloc(16);
  driver.call('cuDeviceGetUuid_v2', uuid, device);
  const hex = uuid.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
  return {
    name: name.toString('utf8', 0, name.indexOf(0)),
    uuid: `GPU-${hex}`,
    driverVersion: driver.integer('cuDriverGetVersion'),
  };
}

function sharingOf(driver: Driver, device: number): CudaSharing {
  const has = (attribute: number): boolean => driver.integer('cuDeviceGetAttribute', attribute, device) !== 0;
  return has(ATTRIBUTE.virtualMemory) && has(ATTRIBUTE.posixDescriptors) ? 'vmm' : 'ipc';
}

function granularityOf(driver: Driver, device: number): number {
  return Number(driver.handle('cuMemGetAllocationGranularity', allocationProp(device), GRANULARITY_MINIMUM));
}
