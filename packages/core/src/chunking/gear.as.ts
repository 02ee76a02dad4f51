// The gear scan in AssemblyScript; gear-scan.ts is its twin in TypeScript, gear.ts calls both alike.
// Memory is imported; the table of 256 u64 constants is put at address 0 by gear.ts.

/** The mask of the rule, 0xFFFF000000000000, is clear exactly when h is below this. */
const TRIGGER_LIMIT: u64 = 1 << 48;
const GROUP: usize = 8;

function step(h: u64, p: usize): u64 {
  return (h << 1) + load<u64>((<usize>load<u8>(p)) << 3);
}

/**
 * Writes the end offsets p (from < p <= to, relative to data) of the triggers to out, ascending, max at most; returns their
 * count. data[from - 63 .. to) is read: after 64 bytes, older ones have been shifted out of h.
 */
export function scan(data: usize, from: u32, to: u32, out: usize, max: u32): u32 {
  let h: u64 = 0;
  let p = data + from - 63;
  let count: u32 = 0;
  const first = data + from;
  const end = data + to;
  while (p < first) h = step(h, p++);
  while (p < end) {
    // Nearly every group of eight has no trigger: a branch a byte that is never taken costs less than gathering flags.
    while (p + GROUP <= end) {
      let g = step(h, p);
      if (g < TRIGGER_LIMIT) break;
      g = step(g, p + 1);
      if (g < TRIGGER_LIMIT) break;
      g = step(g, p + 2);
      if (g < TRIGGER_LIMIT) break;
      g = step(g, p + 3);
      if (g < TRIGGER_LIMIT) break;
      g = step(g, p + 4);
      if (g < TRIGGER_LIMIT) break;
      g = step(g, p + 5);
      if (g < TRIGGER_LIMIT) break;
      g = step(g, p + 6);
      if (g < TRIGGER_LIMIT) break;
      g = step(g, p + 7);
      if (g < TRIGGER_LIMIT) break;
      h = g;
      p += GROUP;
    }
    const stop = p + GROUP < end ? p + GROUP : end;
    while (p < stop) {
      h = step(h, p++);
      if (h < TRIGGER_LIMIT) {
        store<u32>(out + (count << 2), <u32>(p - data));
        if (++count == max) return count;
      }
    }
  }
  return count;
}
