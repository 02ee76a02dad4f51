import { GEAR_TABLE } from './gear-table.js';
import { KernelMemory } from './kernel-memory.js';

/** Bytes that are hashed before the first one whose trigger can be told: the window is 64 bytes. */
export const WARM_UP_BYTES = 63;

/** Finds the triggers of the gear hash. One per thread. */
export interface GearScanner {
  /**
   * Writes into `out` the end offsets p (exclusive, relative to `data`), ascending, of every trigger with from < p <= to: where
   * (h & 0xFFFF000000000000) == 0 and h covers data[p-64 .. p). Positions below 64 have no full window and are never reported;
   * no chunk ends there. Returns the count; when that is `out.length`, the scan stopped early: go on from the last position.
   * @throws RangeError when `out` is empty, or `to` is beyond `data` or 2^32 - 1.
   */
  scan(data: Uint8Array, from: number, to: number, out: Uint32Array): number;
}

interface GearKernel {
  scan(data: number, from: number, to: number, out: number, max: number): number;
}

/** From src and from dist alike: tests run the TypeScript source with the compiled kernel. */
const KERNEL = new URL('../../dist/chunking/gear.wasm', import.meta.url);

const OUT_BYTES = 4096;
/** Triggers that one call of the kernel can report. */
const OUT_TRIGGERS = OUT_BYTES / 4;
/** Foreign data is copied in pieces of this size: about the length of a chunk, and small enough for the cache. */
const STAGING_BYTES = 64 * 1024;
const SMALL_MEMORY_BYTES = 128 * 1024;

/** The WASM scanner. Views on its own memory are scanned in place, other data is copied in, 64 KiB at a time. */
export class WasmGearScanner implements GearScanner {
  private readonly memory: KernelMemory;
  private readonly kernel: GearKernel;
  private readonly found: Uint32Array;
  private staging: Uint8Array | undefined;

  /** Takes 4 KiB of `memory`, and 64 KiB more once foreign data comes. */
  constructor(memory: KernelMemory = new KernelMemory(SMALL_MEMORY_BYTES)) {
    this.memory = memory;
    this.kernel = memory.instantiate<GearKernel & object>(KERNEL);
    new BigUint64Array(memory.buffer, 0, GEAR_TABLE.length).set(GEAR_TABLE);
    this.found = new Uint32Array(memory.buffer, memory.allocate(OUT_BYTES).byteOffset, OUT_TRIGGERS);
  }

  scan(data: Uint8Array, from: number, to: number, out: Uint32Array): number {
    checkScan(data, to, out);
    const start = Math.max(from, WARM_UP_BYTES);
    if (this.memory.holds(data)) return this.scanInPlace(data.byteOffset, start, to, out, 0, 0);
    const staging = (this.staging ??= this.memory.allocate(STAGING_BYTES));
    let count = 0;
    for (let at = start; at < to && count < out.length;) {
      const pieceStart = at - WARM_UP_BYTES;
      const pieceEnd = Math.min(to, pieceStart + STAGING_BYTES);
      staging.set(data.subarray(pieceStart, pieceEnd));
      count = this.scanInPlace(staging.byteOffset, WARM_UP_BYTES, pieceEnd - pieceStart, out, count, pieceStart);
      at = pieceEnd;
    }
    return count;
  }

  /** Appends to the `count` positions that `out` holds, each shifted by `shift`; returns the new count. */
  private scanInPlace(address: number, from: number, to: number, out: Uint32Array, count: number, shift: number): number {
    while (from < to && count < out.length) {
      const room = Math.min(OUT_TRIGGERS, out.length - count);
      const found = this.kernel.scan(address, from, to, this.found.byteOffset, room);
      for (let i = 0; i < found; i++) out[count++] = this.found[i]! + shift;
      if (found < room) break;
      from = this.found[found - 1]!;
    }
    return count;
  }
}

/** The limits that both scanners share. */
export function checkScan(data: Uint8Array, to: number, out: Uint32Array): void {
  if (out.length === 0) throw new RangeError('no room for any trigger');
  if (to > data.byteLength || to > 0xffffffff) throw new RangeError(`cannot scan up to ${to} of ${data.byteLength} bytes`);
}
