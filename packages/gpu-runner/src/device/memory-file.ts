import { randomUUID } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';
import { deviceError, GpuError } from '../errors.js';
import * as libc from './libc.js';

/** Whether the kernel makes anonymous files. Old ones do not, and some sandboxes refuse it. */
export function hasMemfd(): boolean {
  try {
    fs.closeSync(createMemfd('cairn'));
    return true;
  } catch (error) {
    // Anything else is a fault that should show.
    if (error instanceof GpuError && error.code === 'CAIRN_GPU_DEVICE') return false;
    throw error;
  }
}

/** A descriptor of an empty anonymous file, which can be sealed. `name` shows in `/proc` only. */
export function createMemfd(name: string): number {
  const { memfdCreate, koffi } = libc.libc();
  const first = memfdCreate(name, libc.MFD_CLOEXEC | libc.MFD_ALLOW_SEALING) as number;
  if (first < 0) throw deviceError('memfd_create', koffi.errno());
  // Opened once more, since the kernel counts as writers only those who came through open(): HostRegion.isExclusive() needs the count.
  try {
    return fs.openSync(`/proc/self/fd/${first}`, 'r+');
  } finally {
    fs.closeSync(first);
  }
}

/** A descriptor of an empty file without a name in a folder: it goes with its last user, however that ends. */
export function createUnlinked(dir: string): number {
  const name = path.join(dir, `cairn-${randomUUID()}`);
  const descriptor = fs.openSync(name, 'wx+', 0o600);
  fs.unlinkSync(name);
  return descriptor;
}

/** Either of them, for a file of no great size. */
export function createMemoryFile(name: string): number {
  return hasMemfd() ? createMemfd(name) : createUnlinked('/dev/shm');
}
