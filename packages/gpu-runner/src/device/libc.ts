import { createRequire } from 'node:module';
import type * as koffiType from 'koffi';
import { deviceError, GpuError } from '../errors.js';

/** What of the C library is needed on Linux, by its own names. Numbers are those of the kernel's headers, the same on x86-64 and arm64. */
export const MFD_CLOEXEC = 1;
export const MFD_ALLOW_SEALING = 2;
export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const MAP_SHARED = 1;
export const MAP_PRIVATE = 2;
export const MAP_POPULATE = 0x8000;
export const F_SETFD = 2;
export const FD_CLOEXEC = 1;
export const F_SETSIG = 10;
export const F_SETLEASE = 1024;
export const F_WRLCK = 1;
export const F_UNLCK = 2;
export const F_ADD_SEALS = 1033;
export const F_SEAL_SEAL = 1;
export const F_SEAL_SHRINK = 2;
export const F_SEAL_GROW = 4;
export const F_SEAL_FUTURE_WRITE = 16;
export const SIGURG = 23;
export const ENOMEM = 12;
export const ENOSPC = 28;
const MAP_FAILED = 2n ** 64n - 1n;

type Call = ReturnType<koffiType.LibraryHandle['func']>;

interface Libc {
  koffi: typeof koffiType;
  memfdCreate: Call;
  mmap: Call;
  munmap: Call;
  posixFallocate: Call;
  fcntl: Call;
  getsockopt: Call;
  sendmsg: Call;
  recvmsg: Call;
}

let loaded: Libc | undefined;

/** Loaded when used: whoever only plans needs no native code. @throws GpuError where this is not Linux */
export function libc(): Libc {
  if (loaded !== undefined) return loaded;
  if (process.platform !== 'linux')
    throw new GpuError('CAIRN_GPU_DEVICE', `memory cannot be handed over on ${process.platform}`, { hint: 'run it on Linux' });
  const koffi = createRequire(import.meta.url)('koffi') as typeof koffiType;
  const library = koffi.load(null);
  // Without names, which koffi keeps for the whole process: another copy of this package may be in it.
  const iovec = koffi.struct({ base: 'uint8_t *', length: 'size_t' });
  const msghdr = koffi.struct({
    name: 'void *',
    nameLength: 'uint32_t',
    iov: koffi.pointer(iovec),
    iovLength: 'size_t',
    control: 'uint8_t *',
    controlLength: 'size_t',
    flags: 'int',
  });
  loaded = {
    koffi,
    memfdCreate: library.func('int memfd_create(const char *name, unsigned int flags)'),
    mmap: library.func('void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)'),
    munmap: library.func('int munmap(void *address, size_t length)'),
    posixFallocate: library.func('int posix_fallocate(int fd, int64_t offset, int64_t length)'),
    fcntl: library.func('int fcntl(int fd, int command, ...)'),
    getsockopt: library.func('int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *length)'),
    sendmsg: library.func('sendmsg', 'int64_t', ['int', koffi.pointer(msghdr), 'int']),
    recvmsg: library.func('recvmsg', 'int64_t', ['int', koffi.inout(koffi.pointer(msghdr)), 'int']),
  };
  return loaded;
}

/** Maps a file for reading and writing, its pages touched beforehand. In a thread of its own: a GiB takes most of a second. */
export async function mapFile(descriptor: number, sizeBytes: number): Promise<bigint> {
  const { mmap } = libc();
  const address = await new Promise<unknown>((resolve, reject) => {
    mmap.async(null, sizeBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor, 0, (error: unknown, result: unknown) =>
      error ? reject(error) : resolve(result),
    );
  });
  // Small integers come as numbers, pointers as bigints.
  const pointer = BigInt(address as bigint);
  if (pointer === MAP_FAILED) throw deviceError(`mapping ${sizeBytes} bytes`, 'unknown');
  return pointer;
}

/** Maps a file that is open for reading: its pages are shared, and copied for this process where it writes to them. */
export function mapPrivately(descriptor: number, sizeBytes: number): bigint {
  const pointer = BigInt(libc().mmap(null, sizeBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, descriptor, 0) as bigint);
  if (pointer === MAP_FAILED) throw deviceError(`mapping ${sizeBytes} bytes`, libc().koffi.errno());
  return pointer;
}

export function unmap(address: bigint, sizeBytes: number): void {
  libc().munmap(address, sizeBytes);
}

/** Memory as an array; nothing keeps it mapped. */
export function view(address: bigint, length: number): Uint8Array {
  return new Uint8Array(libc().koffi.view(address, length));
}

/**
 * Reserves every page of a file, so that a lack of memory is an error here, and no SIGBUS later. In a thread of its own.
 * Returns 0, or the errno.
 */
export async function reserve(descriptor: number, sizeBytes: number): Promise<number> {
  const { posixFallocate } = libc();
  return new Promise<number>((resolve, reject) => {
    posixFallocate.async(descriptor, 0, sizeBytes, (error: unknown, result: unknown) =>
      error ? reject(error) : resolve(result as number),
    );
  });
}

/** `fcntl` with an integer argument; 0, or the errno. */
export function control(descriptor: number, command: number, argument: number): number {
  const { fcntl, koffi } = libc();
  return (fcntl as (...parameters: unknown[]) => number)(descriptor, command, 'int', argument) < 0 ? koffi.errno() : 0;
}
