import { GEAR_TABLE } from './gear-table.js';
import { checkScan, type GearScanner, WARM_UP_BYTES } from './gear.js';

/** The table as little-endian u32 halves: even index low, odd index high. */
const HALVES = new Int32Array(512);
for (let i = 0; i < 256; i++) {
  HALVES[2 * i] = Number(BigInt.asIntN(32, GEAR_TABLE[i]!));
  HALVES[2 * i + 1] = Number(BigInt.asIntN(32, GEAR_TABLE[i]! >> 32n));
}

/** The scan of gear.as.ts in plain TypeScript, on two 32-bit halves: what the kernel is compared with, and easier to read. */
export class PlainGearScanner implements GearScanner {
  scan(data: Uint8Array, from: number, to: number, out: Uint32Array): number {
    checkScan(data, to, out);
    const start = Math.max(from, WARM_UP_BYTES);
    let count = 0;
    let low = 0;
    let high = 0;
    for (let i = start - WARM_UP_BYTES; i < to; i++) {
      const entry = 2 * data[i]!;
      const doubled = low << 1;
      const addend = HALVES[entry]!;
      const sum = (doubled + addend) | 0;
      const carry = ((doubled & addend) | ((doubled | addend) & ~sum)) >>> 31;
      high = ((high << 1) + (low >>> 31) + HALVES[entry + 1]! + carry) | 0;
      low = sum;
      if (high >>> 16 === 0 && i >= start) {
        out[count++] = i + 1;
        if (count === out.length) return count;
      }
    }
    return count;
  }
}
