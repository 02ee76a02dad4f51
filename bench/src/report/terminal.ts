import type { RowResult } from '../rows/row.js';
import { findingCells, measurementCells, withoutEmptyColumns } from './format.js';

/** One row of the bench, as text for a terminal. */
export function terminalText(row: RowResult): string {
  const lines = [row.title, `  ${row.dataset}`, ''];
  for (const series of row.series) {
    // The commands are long, and stand in the Markdown.
    const body = series.measurements.map((measurement) => measurementCells(series, measurement).slice(0, 4));
    lines.push(...table([series.title, 'median', 'range', 'rate'], body), '');
  }
  if (row.findings.length > 0)
    lines.push(...table(['finding', 'measured', 'range', 'target', VERDICT], row.findings.map(findingCells)), '');
  lines.push(...row.missing.map((line) => `  ${line}`));
  return `${lines.join('\n').trimEnd()}\n`;
}

/** Words stand left, figures right. */
function table(titles: readonly string[], cells: readonly (readonly string[])[]): string[] {
  const { head, body } = withoutEmptyColumns(titles, cells);
  const widths = head.map((title, column) => Math.max(title.length, ...body.map((line) => (line[column] ?? '').length)));
  const line = (texts: readonly string[]): string =>
    `  ${texts.map((text, column) => pad(text, widths[column] ?? 0, column === 0 || head[column] === VERDICT)).join('  ')}`.trimEnd();
  return [line(head), `  ${widths.map((width) => '─'.repeat(width)).join('  ')}`, ...body.map(line)];
}

const VERDICT = 'verdict';

function pad(text: string, width: number, left: boolean): string {
  return left ? text.padEnd(width) : text.padStart(width);
}
