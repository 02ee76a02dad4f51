import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { median, pairedRatio, summarize } from '../../bench/dist/measure/statistics.js';

const samples = fc.array(fc.double({ min: 1e-3, max: 1e6, noNaN: true }), { minLength: 1, maxLength: 20 });

describe('summaries of samples', () => {
  it('give the known medians of known lists', () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 3, 2])).toBe(2.5);
    expect(summarize([5])).toEqual({ median: 5, least: 5, greatest: 5, count: 1 });
  });

  it('do not depend on the order of the samples, and leave the list as it was', () => {
    fc.assert(
      fc.property(samples, (list) => {
        const before = [...list];
        expect(summarize([...list].reverse())).toEqual(summarize(list));
        expect(list).toEqual(before);
      }),
    );
  });

  it('lie between the least and the greatest sample, in order', () => {
    fc.assert(
      fc.property(samples, (list) => {
        const { least, median: middle, greatest } = summarize(list);
        const ascending = [Math.min(...list), least, middle, greatest, Math.max(...list)];
        expect(ascending).toEqual([...ascending].sort((a, b) => a - b));
      }),
    );
  });

  it('are not moved by one disturbed round among three', () => {
    expect(median([10, 11, 9000])).toBe(11);
  });

  it('refuse to speak of nothing', () => {
    expect(() => summarize([])).toThrow(RangeError);
    expect(() => summarize([1, Number.NaN])).toThrow(RangeError);
  });
});

describe('ratios', () => {
  it('compare round with round, so that a drift of the machine cancels out', () => {
    fc.assert(
      fc.property(samples, fc.double({ min: 0.1, max: 10, noNaN: true }), (drifting, factor) => {
        const slower = drifting.map((sample) => sample * factor);
        expect(pairedRatio(slower, drifting).median).toBeCloseTo(factor, 6);
      }),
    );
  });

  it('refuse sides that were not measured in the same rounds', () => {
    expect(() => pairedRatio([2, 4, 6], [2])).toThrow(RangeError);
  });
});
