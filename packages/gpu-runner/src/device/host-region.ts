import fs from 'node:fs';
import { deviceError } from '../errors.js';
import type { Region, RegionExport } from './device.js';
import * as libc from './libc.js';

/** The longest window: within what a typed array takes on every supported Node, also twice. */
const MAX_WINDOW_BYTES = 2 ** 30;

/**
 * Host memory behind a file descriptor: a memfd, or an unlinked file in a memory file system. This process keeps it mapped for
 * writing, so that it can be filled again later; others get a descriptor that was opened for reading.
 */
export class HostRegion implements Region {
  readonly sizeBytes: number;
  dirty = false;
  private readonly descriptor: number;
  private readonly address: bigint | undefined;
  private readonly sealable: boolean;
  private exported: number | undefined;
  private sealed = false;
  /**
   * Views of two windows' length, one for each window's length of memory: whatever window is asked for lies in one of them. Kept,
   * since an array over foreign memory weighs on the garbage collector as if its bytes were JavaScript's.
   */
  private readonly views = new Map<number, Uint8Array>();

  /** @param address where the file is mapped; undefined for one of 0 bytes */
  constructor(parts: { descriptor: number; address: bigint | undefined; sizeBytes: number; sealable: boolean }) {
    this.descriptor = parts.descriptor;
    this.address = parts.address;
    this.sizeBytes = parts.sizeBytes;
    this.sealable = parts.sealable;
  }

  window(offset: number, length: number): Uint8Array {
    if (offset < 0 || length > MAX_WINDOW_BYTES || offset + length > this.sizeBytes)
      throw new RangeError(`window of ${length} bytes at ${offset} of ${this.sizeBytes}`);
    if (this.address === undefined || length === 0) return new Uint8Array(0);
    const number = Math.floor(offset / MAX_WINDOW_BYTES);
    const start = number * MAX_WINDOW_BYTES;
    let view = this.views.get(number);
    if (view === undefined) {
      view = libc.view(this.address + BigInt(start), Math.min(2 * MAX_WINDOW_BYTES, this.sizeBytes - start));
      this.views.set(number, view);
    }
    return view.subarray(offset - start, offset - start + length);
  }

  async copyIn(offset: number, source: Uint8Array): Promise<void> {
    for (let at = 0; at < source.length; at += MAX_WINDOW_BYTES) {
      const piece = source.subarray(at, at + MAX_WINDOW_BYTES);
      this.window(offset + at, piece.length).set(piece);
    }
  }

  async copyFrom(source: Region, sourceOffset: number, offset: number, length: number): Promise<void> {
    // Pieces leave the event loop room to breathe: 64 MiB take some milliseconds.
    const step = 64 << 20;
    for (let at = 0; at < length; at += step) {
      if (at > 0) await new Promise(setImmediate);
      const bytes = Math.min(step, length - at);
      this.window(offset + at, bytes).set((source as HostRegion).window(sourceOffset + at, bytes));
    }
  }

  async seal(): Promise<void> {
    if (this.sealed) return;
    this.sealed = true;
    if (this.sealable) {
      // Not F_SEAL_WRITE: it is refused while this process has the memory mapped, and can never be taken back.
      const seals = libc.F_SEAL_SEAL | libc.F_SEAL_SHRINK | libc.F_SEAL_GROW | libc.F_SEAL_FUTURE_WRITE;
      const errno = libc.control(this.descriptor, libc.F_ADD_SEALS, seals);
      if (errno !== 0) throw deviceError('sealing memory', errno);
    } else fs.fchmodSync(this.descriptor, 0o400);
  }

  export(): RegionExport {
    this.exported ??= fs.openSync(`/proc/self/fd/${this.descriptor}`, 'r');
    return { kind: 'descriptor', descriptor: this.exported };
  }

  /** The descriptor that others have goes; theirs stay. */
  withdraw(): void {
    if (this.exported !== undefined) fs.closeSync(this.exported);
    this.exported = undefined;
    this.dirty = true;
  }

  /**
   * Whether nobody else has the memory open or mapped, in any process. The kernel knows: it grants a write lease only then
   * (fcntl(2), F_SETLEASE). Without that knowledge memory could be filled anew under a process that still reads it.
   */
  isExclusive(): boolean {
    // An open by somebody else while we hold the lease is told by a signal; of the default one (SIGIO) this process would die.
    libc.control(this.descriptor, libc.F_SETSIG, libc.SIGURG);
    if (libc.control(this.descriptor, libc.F_SETLEASE, libc.F_WRLCK) !== 0) return false;
    libc.control(this.descriptor, libc.F_SETLEASE, libc.F_UNLCK);
    return true;
  }

  /** Ours goes; the memory itself when the last process that has it lets go. */
  release(): void {
    this.withdraw();
    this.views.clear();
    if (this.address !== undefined) libc.unmap(this.address, this.sizeBytes);
    fs.closeSync(this.descriptor);
  }
}
