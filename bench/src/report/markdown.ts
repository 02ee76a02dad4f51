import type { Finding, RowResult } from '../rows/row.js';
import { findingCells, measurementCells, withoutEmptyColumns } from './format.js';
import type { Report } from './report.js';

/** The report as a page; `plots` tells the file name of each row's plots. */
export function markdownPage(report: Report, plots: ReadonlyMap<string, readonly string[]>, overview: string | undefined): string {
  const judged = report.rows.flatMap((row) =>
    row.findings.filter((finding) => finding.target !== undefined).map((finding) => ({ row, finding })),
  );
  return [
    '# Bench results',
    '',
    ...(report.quick ? ['**A quick run with tiny sizes: it shows that everything runs, and measures nothing.**', ''] : []),
    ...machineLines(report),
    '',
    'How to run it, what each row means and how both sides are kept alike: [bench/README.md](../README.md). Every figure is the median of the rounds; a ratio is the median of the ratios of each round, taken side by side.',
    '',
    '## Targets',
    '',
    ...(overview === undefined ? [] : [`![Each target, and what was measured](${overview})`, '']),
    ...table(
      ['row', 'finding', 'measured', 'range', 'target', 'verdict'],
      judged.map(({ row, finding }) => [link(row), ...boldVerdict(finding)]),
    ),
    '',
    ...report.failures.flatMap(({ id, reason }) => [`Row \`${id}\` could not be measured: ${reason}`, '']),
    ...report.rows.flatMap((row) => section(row, plots.get(row.id) ?? [])),
  ].join('\n');
}

function machineLines({ machine }: Report): string[] {
  const processor = `${machine.processor}, ${machine.cores} cores (${machine.extensions.join(', ')}), ${machine.memoryGib} GiB of memory`;
  const system = `${machine.kernel}, ${machine.fileSystem}, Node ${machine.node}`;
  return [`${[processor, system, ...machine.tools].join('; ')}.`];
}

function section(row: RowResult, plots: readonly string[]): string[] {
  const run = `${row.rounds} round${row.rounds === 1 ? '' : 's'}, ${row.date}, load average before ${row.loadBefore.toFixed(1)}.`;
  const lines = [`## ${row.title}`, '', `${row.dataset.charAt(0).toUpperCase()}${row.dataset.slice(1)}. ${row.method} ${run}`, ''];
  for (const [index, series] of row.series.entries()) {
    const plot = plots[index];
    if (plot !== undefined) lines.push(`![${series.title}](${plot})`, '');
    const body = series.measurements.map((measurement) =>
      measurementCells(series, measurement).map((cell, column) => (column === 4 ? code(cell) : cell)),
    );
    lines.push(...table([series.title, 'median', 'range', 'rate', 'command or call'], body), '');
  }
  if (row.findings.length > 0)
    lines.push(...table(['finding', 'measured', 'range', 'target', 'verdict'], row.findings.map(boldVerdict)), '');
  if (row.missing.length > 0) lines.push(...row.missing.map((line) => `- ${line}`), '');
  return lines;
}

function boldVerdict(finding: Finding): string[] {
  const cells = findingCells(finding);
  const verdict = cells.at(-1) ?? '';
  return [...cells.slice(0, -1), verdict === 'missed' ? `**${verdict}**` : verdict];
}

/** GitHub's anchor of a heading. */
function link(row: RowResult): string {
  const anchor = row.title
    .toLowerCase()
    .replaceAll(/[^\w\s-]/g, '')
    .replaceAll(' ', '-');
  return `[${row.id}](#${anchor})`;
}

function code(text: string): string {
  return text === '' ? '' : `\`${text}\``;
}

function table(titles: readonly string[], cells: readonly (readonly string[])[]): string[] {
  const { head, body } = withoutEmptyColumns(titles, cells);
  const line = (texts: readonly string[]): string => `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...body.map(line)];
}
