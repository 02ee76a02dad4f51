import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PlainGearScanner } from '../../packages/core/src/chunking/gear-scan.js';
import { GEAR_TABLE } from '../../packages/core/src/chunking/gear-table.js';
import { type GearScanner, WasmGearScanner } from '../../packages/core/src/chunking/gear.js';
import { KernelMemory, PAGE_BYTES } from '../../packages/core/src/chunking/kernel-memory.js';
import { sha256, splitMix, trap } from './samples.js';

it('the gear table is that of rust-gearhash', () => {
  expect(GEAR_TABLE).toHaveLength(256);
  expect(sha256(new Uint8Array(GEAR_TABLE.buffer))).toBe('e1d3936666d7ae7a977c958e9afcc75f90aaca758ce5fbe4ece61dffefe1912c');
});

/** Every trigger, from a window of 64 bytes hashed anew for each position. */
function naiveTriggers(data: Uint8Array, from: number, to: number): number[] {
  const found: number[] = [];
  for (let p = Math.max(from + 1, 64); p <= to; p++) {
    let h = 0n;
    for (let i = p - 64; i < p; i++) h = BigInt.asUintN(64, (h << 1n) + GEAR_TABLE[data[i]!]!);
    if ((h & 0xffff000000000000n) === 0n) found.push(p);
  }
  return found;
}

/** All triggers, through an `out` of `room` entries. */
function triggers(scanner: GearScanner, data: Uint8Array, from: number, to: number, room = 64): number[] {
  const out = new Uint32Array(room);
  const found: number[] = [];
  for (let at = from; ; at = found.at(-1)!) {
    const count = scanner.scan(data, at, to, out);
    found.push(...out.subarray(0, count));
    if (count < room) return found;
  }
}

const noise = splitMix(700_000, 3n);
const dense = trap(40_000, 0);
const worker = new KernelMemory(1 << 20);
const inPlace = new WasmGearScanner(worker);
const region = worker.allocate(800_000);

describe.each<[string, GearScanner, (data: Uint8Array) => Uint8Array]>([
  ['plain', new PlainGearScanner(), (data) => data],
  ['WASM, copying', new WasmGearScanner(), (data) => data],
  ['WASM, in place', inPlace, (data) => (region.set(data, 5), region.subarray(5, 5 + data.length))],
])('the %s scanner', (_, scanner, place) => {
  it('finds exactly the triggers', () => {
    for (const data of [noise.subarray(0, 3000), dense.subarray(0, 3000)]) {
      expect(triggers(scanner, place(data), 0, data.length)).toEqual(naiveTriggers(data, 0, data.length));
    }
    expect(triggers(scanner, place(dense), 0, dense.length).length).toBeGreaterThan(200);
  });

  it('finds the same triggers as the plain one in any range, however little room there is', () => {
    const range = fc.tuple(fc.nat(700_000), fc.nat(200_000));
    fc.assert(
      fc.property(range, fc.integer({ min: 1, max: 5 }), fc.boolean(), ([from, length], room, isDense) => {
        const data = isDense ? dense : noise;
        const [start, end] = [Math.min(from, data.length), Math.min(data.length, from + length)];
        expect(triggers(scanner, place(data), start, end, room)).toEqual(triggers(new PlainGearScanner(), data, start, end));
      }),
      { numRuns: 40 },
    );
  });

  it('tells a trigger from the 64 bytes before it alone', () => {
    const all = triggers(scanner, place(noise), 0, noise.length);
    for (const p of all) expect(triggers(scanner, place(noise.slice(p - 64, p)), 63, 64)).toEqual([64]);
    expect(all.length).toBeGreaterThan(3);
  });

  it('reports the trigger at the end of the range and not the one at its start', () => {
    const p = triggers(scanner, place(noise), 0, noise.length)[1]!;
    expect(triggers(scanner, place(noise), p - 1, p)).toEqual([p]);
    expect(triggers(scanner, place(noise), p, p + 1)).toEqual([]);
    expect(triggers(scanner, place(noise), p - 2, p - 1)).toEqual([]);
  });

  it('refuses a range beyond the data and an empty output', () => {
    expect(() => scanner.scan(place(noise.subarray(0, 100)), 63, 101, new Uint32Array(1))).toThrow(RangeError);
    expect(() => scanner.scan(place(noise.subarray(0, 100)), 63, 100, new Uint32Array(0))).toThrow(RangeError);
  });
});

describe('kernel memory', () => {
  it('gives out page-aligned regions that do not overlap, and refuses what does not fit', () => {
    const memory = new KernelMemory(1 << 20);
    const regions = [1, 4096, 4097, 70_000].map((bytes) => memory.allocate(bytes));
    let end = 2048;
    for (const part of regions) {
      expect(part.byteOffset % PAGE_BYTES).toBe(0);
      expect(part.byteOffset).toBeGreaterThanOrEqual(end);
      expect(memory.holds(part)).toBe(true);
      end = part.byteOffset + part.byteLength;
    }
    expect(() => memory.allocate(memory.freeBytes + 1)).toThrow(RangeError);
    expect(memory.allocate(memory.freeBytes).byteOffset % PAGE_BYTES).toBe(0);
    expect(memory.freeBytes).toBe(0);
    expect(() => memory.allocate(1)).toThrow(RangeError);
  });
});
