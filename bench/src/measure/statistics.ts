/** Order statistics of a handful of samples: no means, since one disturbed round would move them. */
export interface Summary {
  readonly median: number;
  readonly lowerQuartile: number;
  readonly upperQuartile: number;
  readonly least: number;
  readonly greatest: number;
  readonly count: number;
}

/** @throws RangeError without samples, or with one that is not a finite number. */
export function summarize(samples: readonly number[]): Summary {
  const sorted = sortedCopy(samples);
  return {
    median: quantileOfSorted(sorted, 0.5),
    lowerQuartile: quantileOfSorted(sorted, 0.25),
    upperQuartile: quantileOfSorted(sorted, 0.75),
    least: quantileOfSorted(sorted, 0),
    greatest: quantileOfSorted(sorted, 1),
    count: sorted.length,
  };
}

/** @throws RangeError as {@link summarize}. */
export function median(samples: readonly number[]): number {
  return quantile(samples, 0.5);
}

/** The value below which a `share` (0 to 1) of the samples lies, linear between neighbours (R's and NumPy's default, type 7). */
export function quantile(samples: readonly number[], share: number): number {
  return quantileOfSorted(sortedCopy(samples), share);
}

/**
 * How many times larger `numerator` is than `denominator`, round by round, so that a machine that drifts slows both sides of a ratio alike.
 * Lists of different lengths (a contestant that sat some rounds out) have no rounds in common: then every summary is that of the medians' ratio.
 */
export function pairedRatio(numerator: readonly number[], denominator: readonly number[]): Summary {
  if (numerator.length !== denominator.length) return summarize([median(numerator) / median(denominator)]);
  return summarize(numerator.map((value, round) => value / (denominator[round] as number)));
}

function sortedCopy(samples: readonly number[]): readonly number[] {
  if (samples.length === 0) throw new RangeError('no samples to summarise');
  if (!samples.every(Number.isFinite)) throw new RangeError('a sample is not a finite number');
  return [...samples].sort((a, b) => a - b);
}

function quantileOfSorted(sorted: readonly number[], share: number): number {
  const position = Math.min(Math.max(share, 0), 1) * (sorted.length - 1);
  const below = Math.floor(position);
  const lower = sorted[below] as number;
  const upper = sorted[Math.min(below + 1, sorted.length - 1)] as number;
  return lower + (upper - lower) * (position - below);
}
