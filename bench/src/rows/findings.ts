import { pairedRatio, summarize } from '../measure/statistics.js';
import type { Summary } from '../measure/statistics.js';
import type { Finding, Measurement, Series, Unit } from './row.js';
import type { TargetId } from '../targets.js';

const BYTES_PER_GB = 1e9;

/** The measurement called `name`, or undefined when that contestant did not run. */
export function measurementOf(series: Series, name: string): Measurement | undefined {
  return series.measurements.find((measurement) => measurement.name === name);
}

/** `value of numerator / value of denominator`, or nothing when one of them did not run. */
export function ratio(series: Series, numerator: string, denominator: string, label: string, target?: TargetId): Finding[] {
  const above = measurementOf(series, numerator);
  const below = measurementOf(series, denominator);
  if (above === undefined || below === undefined) return [];
  return [finding(label, pairedRatio(above.samples, below.samples), '×', target)];
}

/** The rate of a series in ms whose runs move `series.bytes`. */
export function rate(series: Series, name: string, label: string, target?: TargetId): Finding[] {
  const measurement = measurementOf(series, name);
  const { bytes } = series;
  if (measurement === undefined || bytes === undefined) return [];
  return [finding(label, summarize(measurement.samples.map((ms) => gigabytesPerSecond(bytes, ms))), 'GB/s', target)];
}

/** The samples themselves. */
export function value(series: Series, name: string, label: string, target?: TargetId): Finding[] {
  const measurement = measurementOf(series, name);
  return measurement === undefined ? [] : [finding(label, summarize(measurement.samples), series.unit, target)];
}

/** `a - b`, round by round: what one thing costs over another. */
export function difference(series: Series, a: string, b: string, label: string, target?: TargetId): Finding[] {
  const left = measurementOf(series, a);
  const right = measurementOf(series, b);
  if (left === undefined || right === undefined) return [];
  return [finding(label, summarize(left.samples.map((sample, round) => sample - (right.samples[round] as number))), series.unit, target)];
}

export function gigabytesPerSecond(bytes: number, ms: number): number {
  return bytes / BYTES_PER_GB / (ms / 1000);
}

function finding(label: string, summary: Summary, unit: Unit, target: TargetId | undefined): Finding {
  return {
    label,
    value: summary.median,
    unit,
    ...(summary.count > 1 ? { range: [summary.least, summary.greatest] as const } : {}),
    ...(target === undefined ? {} : { target }),
  };
}
