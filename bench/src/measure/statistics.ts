/** Order statistics of a handful of samples: no means, since one disturbed round would move them. */
export interface Summary {
  readonly median: number;
  readonly least: number;
  readonly greatest: number;
  readonly count: number;
}

/** @throws RangeError without samples, or with one that is not a finite number. */
export function summarize(samples: readonly number[]): Summary {
  if (samples.length === 0) throw new RangeError('no samples to summarise');
  if (!samples.every(Number.isFinite)) throw new RangeError('a sample is not a finite number');
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (index: number): number => sorted[index] as number;
  const last = sorted.length - 1;
  // The middle one, or the mean of the middle two.
  const median = (at(Math.floor(last / 2)) + at(Math.ceil(last / 2))) / 2;
  return { median, least: at(0), greatest: at(last), count: sorted.length };
}

/** @throws RangeError as {@link summarize}. */
export function median(samples: readonly number[]): number {
  return summarize(samples).median;
}

/**
 * How many times larger `numerator` is than `denominator`, round by round, so that a machine that drifts slows both sides of a ratio alike.
 * @throws RangeError when the two do not have the same rounds
 */
export function pairedRatio(numerator: readonly number[], denominator: readonly number[]): Summary {
  if (numerator.length !== denominator.length) throw new RangeError('a ratio needs both sides in every round');
  return summarize(numerator.map((value, round) => value / (denominator[round] as number)));
}
