import { summarize } from '../measure/statistics.js';
import { gigabytesPerSecond } from '../rows/findings.js';
import type { Finding, Measurement, Series, Unit } from '../rows/row.js';
import { judge, targetOf } from '../targets.js';
import type { Verdict } from '../targets.js';

/** Three significant digits, without an exponent. */
export function formatNumber(value: number): string {
  const magnitude = Math.abs(value);
  if (magnitude >= 100) return Math.round(value).toLocaleString('en');
  return value.toFixed(magnitude >= 10 ? 1 : magnitude >= 1 ? 2 : 3);
}

export function formatValue(value: number, unit: Unit): string {
  return unit === 'of logical' ? `${formatNumber(value * 100)} %` : `${formatNumber(value)} ${unit}`;
}

/** Least and greatest of the rounds, in the unit of the value that stands beside. */
function formatRange(least: number, greatest: number, unit: Unit): string {
  const scale = unit === 'of logical' ? 100 : 1;
  return `${formatNumber(least * scale)} – ${formatNumber(greatest * scale)}`;
}

/** Drops the columns that hold nothing in any line but the head. */
export function withoutEmptyColumns(head: readonly string[], body: readonly (readonly string[])[]): { head: string[]; body: string[][] } {
  const kept = head.map((_, column) => column).filter((column) => body.some((cells) => (cells[column] ?? '') !== ''));
  const pick = (cells: readonly string[]): string[] => kept.map((column) => cells[column] ?? '');
  return { head: pick(head), body: body.map(pick) };
}

/** Cells of one contestant: name, median, range of the rounds, rate, command. */
export function measurementCells(series: Series, { name, samples, command }: Measurement): string[] {
  const { median, least, greatest, count } = summarize(samples);
  const range = count > 1 ? formatRange(least, greatest, series.unit) : '';
  const rate = series.bytes === undefined || series.unit !== 'ms' ? '' : `${formatNumber(gigabytesPerSecond(series.bytes, median))} GB/s`;
  return [name, formatValue(median, series.unit), range, rate, command ?? ''];
}

/** Cells of one finding: label, value, range of the rounds, target, verdict. */
export function findingCells(finding: Finding): string[] {
  const range = finding.range === undefined ? '' : formatRange(...finding.range, finding.unit);
  const cells = [finding.label, formatValue(finding.value, finding.unit), range];
  if (finding.target === undefined) return [...cells, '', ''];
  const target = targetOf(finding.target);
  const bound = `${target.bound === 'at most' ? '≤' : '≥'} ${formatValue(target.limit, finding.unit)}`;
  return [...cells, bound, verdictText(judge(finding.value, target), target.needs)];
}

function verdictText(verdict: Verdict, needs: string | undefined): string {
  return verdict === 'later' ? `later: needs ${needs ?? 'more'}` : verdict;
}
