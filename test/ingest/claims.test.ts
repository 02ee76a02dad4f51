import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ClaimTable, UNCLAIMED } from '../../packages/core/src/ingest/claims.js';

/** A digest that differs from others of the same `bucket` in its last bytes only. */
function digest(bucket: number, n: number): Uint8Array {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, bucket, true);
  new DataView(bytes.buffer).setUint32(28, n, true);
  return bytes;
}

describe('the claim table', () => {
  it('gives a chunk to the first unit that asks, and tells the others who has it', () => {
    const table = new ClaimTable();
    const elsewhere = new ClaimTable(table.memory);
    expect(table.claim(digest(1, 1), 7)).toBe(7);
    expect(elsewhere.claim(digest(1, 1), 8)).toBe(7);
    expect(table.claim(digest(1, 1), 7)).toBe(7);
    expect(elsewhere.claim(digest(1, 2), 8)).toBe(8);
  });

  it('forgets the claims of a unit that ended, and counts those that were published', () => {
    const table = new ClaimTable();
    for (let n = 0; n < 100; n++) table.claim(digest(n, n), 1 + (n % 2));
    const before = table.publications;
    table.release(1, false);
    expect(table.publications).toBe(before);
    table.release(2, true);
    expect(table.publications).toBe(before + 1);
    for (let n = 0; n < 100; n++) expect(table.claim(digest(n, n), 3)).toBe(3);
  });

  it('stores without a claim what finds no room, and has room again after a release', () => {
    const table = new ClaimTable();
    const owners = Array.from({ length: 12 }, (_, n) => table.claim(digest(5, n), 4));
    expect(owners.filter((owner) => owner === UNCLAIMED).length).toBeGreaterThan(0);
    expect(table.claim(digest(6, 0), 4)).toBe(4);
    table.release(4, true);
    expect(table.claim(digest(5, 11), 9)).toBe(9);
  });

  it('behaves as a map while there is room', () => {
    const step = fc.record({
      bucket: fc.nat(3),
      n: fc.nat(1),
      unit: fc.integer({ min: 1, max: 3 }),
      action: fc.constantFrom('claim', 'withdraw', 'release'),
    });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const table = new ClaimTable();
        const model = new Map<string, number>();
        for (const { bucket, n, unit, action } of steps) {
          const key = `${bucket} ${n}`;
          if (action === 'claim') {
            if (!model.has(key)) model.set(key, unit);
            expect(table.claim(digest(bucket, n), unit)).toBe(model.get(key));
          } else if (action === 'withdraw') {
            table.withdraw(digest(bucket, n), unit);
            if (model.get(key) === unit) model.delete(key);
          } else {
            table.release(unit, true);
            for (const [held, owner] of model) if (owner === unit) model.delete(held);
          }
        }
      }),
    );
  });
});
