import { createRequire } from 'node:module';
import type * as koffiType from 'koffi';
import { RESULT } from './abi.js';
import { DriverFailure, DriverMissing } from './failures.js';

/**
 * The functions that are used, with their parameters. Handles and device addresses are integers of 64 bits, which is how pointers are
 * passed on the supported machines; `void *` takes an array, or an address. Where cuda.h renames a function, the name is the one that
 * it renames it to.
 */
const FUNCTIONS = {
  cuInit: ['uint'],
  cuDriverGetVersion: ['void *'],
  cuDeviceGetCount: ['void *'],
  cuDeviceGet: ['void *', 'int'],
  cuDeviceGetName: ['void *', 'int', 'int'],
  cuDeviceGetUuid_v2: ['void *', 'int'],
  cuDeviceGetAttribute: ['void *', 'int', 'int'],
  cuDevicePrimaryCtxRetain: ['void *', 'int'],
  cuDevicePrimaryCtxRelease_v2: ['int'],
  cuCtxSetCurrent: ['uint64'],
  cuMemGetInfo_v2: ['void *', 'void *'],
  cuMemGetAllocationGranularity: ['void *', 'void *', 'int'],
  cuMemCreate: ['void *', 'size_t', 'void *', 'uint64'],
  cuMemRelease: ['uint64'],
  cuMemAddressReserve: ['void *', 'size_t', 'size_t', 'uint64', 'uint64'],
  cuMemAddressFree: ['uint64', 'size_t'],
  cuMemMap: ['uint64', 'size_t', 'size_t', 'uint64', 'uint64'],
  cuMemUnmap: ['uint64', 'size_t'],
  cuMemSetAccess: ['uint64', 'size_t', 'void *', 'size_t'],
  cuMemExportToShareableHandle: ['void *', 'uint64', 'int', 'uint64'],
  cuMemImportFromShareableHandle: ['void *', 'uint64', 'int'],
  cuMemAlloc_v2: ['void *', 'size_t'],
  cuMemFree_v2: ['uint64'],
  cuIpcGetMemHandle: ['void *', 'uint64'],
  cuMemHostRegister_v2: ['void *', 'size_t', 'uint'],
  cuMemHostUnregister: ['void *'],
  cuStreamCreate: ['void *', 'uint'],
  cuStreamDestroy_v2: ['uint64'],
  cuStreamSynchronize: ['uint64'],
  cuEventCreate: ['void *', 'uint'],
  cuEventDestroy_v2: ['uint64'],
  cuEventRecord: ['uint64', 'uint64'],
  cuEventQuery: ['uint64'],
  cuMemcpyHtoDAsync_v2: ['uint64', 'void *', 'size_t', 'uint64'],
  cuMemcpyDtoDAsync_v2: ['uint64', 'uint64', 'size_t', 'uint64'],
  cuMemcpyDtoH_v2: ['void *', 'uint64', 'size_t'],
  cuMemsetD8Async: ['uint64', 'uint8', 'size_t', 'uint64'],
  cuGetErrorName: ['int', 'void *'],
} as const;

export type CudaFunction = keyof typeof FUNCTIONS;
type Argument = number | bigint | Uint8Array;

/** Where Linux has it, WSL and containers without an up-to-date loader cache included. */
const CANDIDATES = ['libcuda.so.1', 'libcuda.so', '/usr/lib/wsl/lib/libcuda.so.1', '/usr/local/nvidia/lib64/libcuda.so.1'];

/** Of dlopen(3): RTLD_NOW, RTLD_NOLOAD (it is loaded already), RTLD_NODELETE (and stays). The same in glibc and musl. */
const STAY_LOADED = 0x2 | 0x4 | 0x1000;

/** libcuda, loaded into this process. What is current (the context) belongs to the calling thread: one thread makes all calls. */
export class Driver {
  private readonly koffi: typeof koffiType;
  private readonly functions: Record<CudaFunction, (...parameters: Argument[]) => number>;
  private readonly copyMemory: (...parameters: unknown[]) => unknown;

  /** @param path of libcuda; undefined looks where it usually is. @throws DriverMissing */
  constructor(path: string | undefined) {
    this.koffi = createRequire(import.meta.url)('koffi') as typeof koffiType;
    const lookedFor: string[] = [];
    for (const name of path === undefined ? CANDIDATES : [path]) {
      try {
        const library = this.koffi.load(name);
        const entries = Object.entries(FUNCTIONS).map(([symbol, parameters]) => [symbol, library.func(symbol, 'int', [...parameters])]);
        this.functions = Object.fromEntries(entries) as typeof this.functions;
        const system = this.koffi.load(null);
        // koffi unloads with the thread that has loaded, but threads of the driver may go on: process.exit() does not wait for `close`.
        system.func('void *dlopen(const char *path, int flags)')(name, STAY_LOADED);
        this.copyMemory = system.func('void *memcpy(void *target, const void *source, size_t bytes)');
        return;
      } catch (error) {
        lookedFor.push(`${name} (${error instanceof Error ? error.message.trim() : String(error)})`);
      }
    }
    throw new DriverMissing(lookedFor);
  }

  /** The code that a function returned. */
  result(name: CudaFunction, ...parameters: Argument[]): number {
    return this.functions[name](...parameters);
  }

  /** @throws DriverFailure unless it returned success */
  call(name: CudaFunction, ...parameters: Argument[]): void {
    const code = this.result(name, ...parameters);
    if (code !== RESULT.success) throw this.error(name, code);
  }

  /** Of functions whose first parameter is where an integer of 64 bits goes. */
  handle(name: CudaFunction, ...parameters: Argument[]): bigint {
    const out = Buffer.alloc(8);
    this.call(name, out, ...parameters);
    return out.readBigUInt64LE();
  }

  /** Of functions whose first parameter is where an `int` goes. */
  integer(name: CudaFunction, ...parameters: Argument[]): number {
    const out = Buffer.alloc(4);
    this.call(name, out, ...parameters);
    return out.readInt32LE();
  }

  error(name: CudaFunction, code: number): DriverFailure {
    const out = Buffer.alloc(8);
    const known = this.result('cuGetErrorName', code, out) === RESULT.success && out.readBigUInt64LE() !== 0n;
    // Pointers decode as strings where the type is `char *`.
    return new DriverFailure(name, code, known ? (this.koffi.decode(out, 'char *') as string) : `error ${code}`);
  }

  /** Where an array's first byte is. */
  addressOf(array: Uint8Array): bigint {
    return BigInt(this.copyMemory(array, array, 0) as bigint);
  }
}
