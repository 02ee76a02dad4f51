/*
 * What of cuda.h is needed: codes, and structures as bytes. The same on x86-64 and arm64; a test compares them with the header.
 */

export const RESULT = { success: 0, outOfMemory: 2, notReady: 600 } as const;

export const ATTRIBUTE = { virtualMemory: 102, posixDescriptors: 103 } as const;

export const STREAM_NON_BLOCKING = 1;
export const EVENT_DISABLE_TIMING = 2;
export const HANDLE_TYPE_POSIX_DESCRIPTOR = 1;
export const GRANULARITY_MINIMUM = 0;
export const ACCESS = { read: 1, readWrite: 3 } as const;
export const IPC_HANDLE_BYTES = 64;

const ALLOCATION_PINNED = 1;
const LOCATION_DEVICE = 1;

/** CUmemAllocationProp: type, requestedHandleTypes, location {type, id}, then a pointer and flags that stay zero. */
export function allocationProp(ordinal: number): Buffer {
  const prop = Buffer.alloc(32);
  prop.writeInt32LE(ALLOCATION_PINNED, 0);
  prop.writeInt32LE(HANDLE_TYPE_POSIX_DESCRIPTOR, 4);
  prop.writeInt32LE(LOCATION_DEVICE, 8);
  prop.writeInt32LE(ordinal, 12);
  return prop;
}

/** CUmemAccessDesc: location {type, id}, flags. */
export function accessDesc(ordinal: number, flags: number): Buffer {
  const desc = Buffer.alloc(12);
  desc.writeInt32LE(LOCATION_DEVICE, 0);
  desc.writeInt32LE(ordinal, 4);
  desc.writeInt32LE(flags, 8);
  return desc;
}
