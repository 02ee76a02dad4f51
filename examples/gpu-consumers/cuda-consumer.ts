import { createHash } from 'node:crypto';
import koffi from 'koffi';
import { Client, type ManifestRegion } from '@cairn/gpu-runner';

/*
 * Maps a model in the memory of a GPU for reading, and prints the SHA-256 of every tensor (or, without tensors, of every file), read
 * back from there. An engine would be given the addresses instead.
 *
 *     node cuda-consumer.js SOCKET VOLUME PATH
 */

const [socketPath = '', volume = '', path = ''] = process.argv.slice(2);

// Addresses and handles are integers of 64 bits; where the driver writes something, it gets a buffer.
const libcuda = koffi.load(process.env['CAIRN_GPU_LIBCUDA'] ?? 'libcuda.so.1');
const errorName = libcuda.func('int cuGetErrorName(int code, _Out_ const char **name)');
function cuda(name: string, ...types: string[]): (...parameters: unknown[]) => void {
  const call = libcuda.func(name, 'int', types);
  return (...parameters) => {
    const code = call(...parameters) as number;
    if (code === 0) return;
    const text: (string | null)[] = [null];
    errorName(code, text);
    throw new Error(`${name}: ${text[0] ?? 'error'} (${code})`);
  };
}
const cuInit = cuda('cuInit', 'uint');
const cuDeviceGetCount = cuda('cuDeviceGetCount', 'void *');
const cuDeviceGetUuid = cuda('cuDeviceGetUuid_v2', 'void *', 'int');
const cuDevicePrimaryCtxRetain = cuda('cuDevicePrimaryCtxRetain', 'void *', 'int');
const cuCtxSetCurrent = cuda('cuCtxSetCurrent', 'uint64');
const cuMemImport = cuda('cuMemImportFromShareableHandle', 'void *', 'uint64', 'int');
const cuMemAddressReserve = cuda('cuMemAddressReserve', 'void *', 'size_t', 'size_t', 'uint64', 'uint64');
const cuMemMap = cuda('cuMemMap', 'uint64', 'size_t', 'size_t', 'uint64', 'uint64');
const cuMemSetAccess = cuda('cuMemSetAccess', 'uint64', 'size_t', 'void *', 'size_t');
const cuMemcpyDtoH = cuda('cuMemcpyDtoH_v2', 'void *', 'uint64', 'size_t');

/** The device that the daemon means: its number here depends on CUDA_VISIBLE_DEVICES. */
function deviceOf(uuid: string): number {
  const count = Buffer.alloc(4);
  cuDeviceGetCount(count);
  for (let device = 0; device < count.readInt32LE(); device++) {
    const bytes = Buffer.alloc(16);
    cuDeviceGetUuid(bytes, device);
    if (bytes.toString('hex') === uuid.replaceAll('-', '').slice('GPU'.length)) return device;
  }
  throw new Error(`this process does not see ${uuid}`);
}

const READ_ONLY = 1;
const POSIX_DESCRIPTOR = 1;

/** A region's address in this process. What is mapped stays, whatever becomes of the daemon. */
function map({ cuda: place }: ManifestRegion, descriptors: readonly number[]): bigint {
  if (place?.sharing !== 'vmm') throw new Error('this example maps descriptors; the one in C knows IPC handles, too');
  const [out, size] = [Buffer.alloc(8), place.allocationSize];
  cuMemImport(out, descriptors[place.descriptor], POSIX_DESCRIPTOR);
  const handle = out.readBigUInt64LE();
  cuMemAddressReserve(out, size, 0, 0, 0);
  const address = out.readBigUInt64LE();
  cuMemMap(address, size, 0, handle, 0);
  const access = new Int32Array([1 /* of a device */, deviceOf(place.uuid), READ_ONLY]);
  cuMemSetAccess(address, size, Buffer.from(access.buffer), 1);
  return address;
}

function digest(address: bigint, size: number): string {
  const hash = createHash('sha256');
  const buffer = Buffer.alloc(4 << 20);
  for (let at = 0; at < size; at += buffer.length) {
    const bytes = Math.min(buffer.length, size - at);
    cuMemcpyDtoH(buffer, address + BigInt(at), bytes);
    hash.update(buffer.subarray(0, bytes));
  }
  return hash.digest('hex');
}

using client = await Client.connect(socketPath);
using model = await client.load({ volume, path });
const { regions, tensors, files } = model.manifest;
const used = regions.find(({ cuda: place }) => place !== undefined);
cuInit(0);
const context = Buffer.alloc(8);
cuDevicePrimaryCtxRetain(context, used === undefined ? 0 : deviceOf(used.cuda!.uuid));
cuCtxSetCurrent(context.readBigUInt64LE());
const addresses = regions.map((region) => (region.size === 0 ? 0n : map(region, model.descriptors)));
for (const { name, dtype, shape, region, offset, size } of tensors)
  console.log(digest(addresses[region]! + BigInt(offset), size), name, dtype, JSON.stringify(shape));
if (tensors.length === 0)
  for (const { path: name, region, size } of files) if (region !== undefined) console.log(digest(addresses[region]!, size), name);
