import { ACCESS, accessDesc, allocationProp, HANDLE_TYPE_POSIX_DESCRIPTOR, IPC_HANDLE_BYTES } from './abi.js';
import type { Driver } from './driver.js';
import { DriverFailure } from './failures.js';
import { Held } from './held.js';

/** Device memory at an address of this process. */
export interface Memory {
  address: bigint;
  /** What is mapped: whole granules. */
  mappedBytes: number;
  /** Of virtual memory management; undefined for memory of `cuMemAlloc`. */
  handle: bigint | undefined;
  held: Held;
}

/** Gets device memory, and gives it back exactly: also when a call in the middle of either fails. */
export class MemorySource {
  private readonly driver: Driver;
  private readonly ordinal: number;
  private readonly granularityBytes: number;
  /** What could not be given back yet, and how much it is. */
  private unreleased: Memory[] = [];

  constructor(driver: Driver, ordinal: number, granularityBytes: number) {
    this.driver = driver;
    this.ordinal = ordinal;
    this.granularityBytes = granularityBytes;
  }

  get unreleasedBytes(): number {
    return this.unreleased.reduce((sum, { mappedBytes }) => sum + mappedBytes, 0);
  }

  /** Memory that can be exported as a descriptor. @throws DriverFailure */
  create(sizeBytes: number): Memory {
    return this.map(sizeBytes, (mappedBytes) => this.driver.handle('cuMemCreate', mappedBytes, allocationProp(this.ordinal), 0));
  }

  /** Memory that another process made and exported; it has as many whole granules as `sizeBytes` take. @throws DriverFailure */
  adopt(descriptor: number, sizeBytes: number): Memory {
    return this.map(sizeBytes, () =>
      this.driver.handle('cuMemImportFromShareableHandle', BigInt(descriptor), HANDLE_TYPE_POSIX_DESCRIPTOR),
    );
  }

  /** Memory that has an IPC handle. Whole granules, since handles of small allocations would name a block that others share. */
  allocate(sizeBytes: number): Memory {
    const mappedBytes = this.granules(sizeBytes);
    const address = this.driver.handle('cuMemAlloc_v2', mappedBytes);
    const held = new Held();
    held.add(() => this.driver.call('cuMemFree_v2', address));
    return { address, mappedBytes, handle: undefined, held };
  }

  /** A new descriptor for other processes; closing it is the caller's. @throws DriverFailure */
  exportDescriptor(handle: bigint): number {
    return this.driver.integer('cuMemExportToShareableHandle', handle, HANDLE_TYPE_POSIX_DESCRIPTOR, 0);
  }

  /** @throws DriverFailure */
  exportIpc(address: bigint): Buffer {
    const out = Buffer.alloc(IPC_HANDLE_BYTES);
    this.driver.call('cuIpcGetMemHandle', out, address);
    return out;
  }

  /** Gives memory back, or what a failed call left of it with the next one. No work on it may be under way. */
  free(memory: Memory): void {
    const all = [memory, ...this.unreleased];
    this.unreleased = [];
    for (const one of all) {
      try {
        one.held.release();
      } catch (error) {
        if (!(error instanceof DriverFailure)) throw error;
        this.unreleased.push(one);
      }
    }
  }

  /** Everything that is left. @throws DriverFailure */
  releaseAll(): void {
    for (let one = this.unreleased.at(-1); one !== undefined; one = this.unreleased.at(-1)) {
      one.held.release();
      this.unreleased.pop();
    }
  }

  private map(sizeBytes: number, getHandle: (mappedBytes: number) => bigint): Memory {
    const { driver, ordinal } = this;
    const mappedBytes = this.granules(sizeBytes);
    const held = new Held();
    const memory: Memory = { address: 0n, mappedBytes, handle: undefined, held };
    try {
      const handle = (memory.handle = getHandle(mappedBytes));
      held.add(() => driver.call('cuMemRelease', handle));
      const address = (memory.address = driver.handle('cuMemAddressReserve', mappedBytes, 0, 0, 0));
      held.add(() => driver.call('cuMemAddressFree', address, mappedBytes));
      driver.call('cuMemMap', address, mappedBytes, 0, handle, 0);
      held.add(() => driver.call('cuMemUnmap', address, mappedBytes));
      driver.call('cuMemSetAccess', address, mappedBytes, accessDesc(ordinal, ACCESS.readWrite), 1);
      return memory;
    } catch (error) {
      this.free(memory);
      throw error;
    }
  }

  private granules(sizeBytes: number): number {
    return Math.ceil(sizeBytes / this.granularityBytes) * this.granularityBytes;
  }
}
