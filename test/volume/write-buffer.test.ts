import fc from 'fast-check';
import { expect, test } from 'vitest';
import { WriteBuffer } from '../../packages/core/src/volume/write-buffer.js';

const write = fc.record({ position: fc.nat(60), data: fc.uint8Array({ minLength: 1, maxLength: 30 }), asBuffer: fc.boolean() });
const step = fc.oneof({ weight: 5, arbitrary: write }, fc.record({ truncate: fc.nat(80) }));

test('shows the last byte written at each position, whatever the caller does with its memory afterwards', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const buffer = new WriteBuffer();
      const model = new Map<number, number>();
      for (const one of steps) {
        if ('truncate' in one) {
          buffer.truncate(one.truncate);
          for (const position of [...model.keys()]) if (position >= one.truncate) model.delete(position);
          continue;
        }
        const data = one.asBuffer ? Buffer.from(one.data) : one.data.slice();
        buffer.write(one.position, data);
        data.forEach((byte, i) => model.set(one.position + i, byte));
        data.fill(0xee);
      }
      const shown = new Uint8Array(100).fill(0xaa);
      buffer.copyInto(0, shown);
      expect([...shown]).toEqual([...new Array<number>(100).keys()].map((position) => model.get(position) ?? 0xaa));
      expect(buffer.size).toBe(model.size);
      for (let from = 0; from < 95; from += 7) {
        expect(buffer.covers(from, from + 5)).toBe([0, 1, 2, 3, 4].every((i) => model.has(from + i)));
      }
      const ranges = buffer.ranges();
      expect(ranges.every(({ start, end }, i) => start < end && end <= (ranges[i + 1]?.start ?? Infinity))).toBe(true);
    }),
  );
});
