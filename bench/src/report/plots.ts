import { View, parse } from 'vega';
import { compile } from 'vega-lite';
import type { TopLevelSpec } from 'vega-lite';
import { summarize } from '../measure/statistics.js';
import type { Finding, Series } from '../rows/row.js';
import { judge, targetOf } from '../targets.js';
import type { Verdict } from '../targets.js';
import { formatValue } from './format.js';

const OURS = '#2f6f4f';
const OTHERS = '#b8b8b0';
const VERDICTS: Record<Verdict, string> = { met: '#2f6f4f', missed: '#b5452c', later: '#8a7a3a' };
const WIDTH = 560;
/** Times better than a target. */
const TICKS = [0.25, 0.5, 1, 2, 4, 10, 100];

/** A bar for each contestant's median, a line from the least to the greatest round, the figure beside it. */
export function seriesPlot(title: string, series: Series): Promise<string> {
  const values = series.measurements.map(({ name, ours, samples }) => {
    const { median, least, greatest } = summarize(samples);
    return { name, side: ours ? 'cairn' : 'others', median, least, greatest, text: formatValue(median, series.unit) };
  });
  const name = { field: 'name', type: 'nominal', sort: null, axis: { title: null, labelLimit: 320, ticks: false, domain: false } } as const;
  return render({
    title: { text: title, subtitle: `${series.title}, ${series.unit}; bars are medians, lines the range of the rounds`, anchor: 'start' },
    width: WIDTH,
    height: { step: 26 },
    data: { values },
    layer: [
      {
        mark: { type: 'bar', height: 16 },
        encoding: {
          y: name,
          x: { field: 'median', type: 'quantitative', axis: { title: null, grid: true, tickCount: 5 } },
          color: { field: 'side', type: 'nominal', scale: { domain: ['cairn', 'others'], range: [OURS, OTHERS] }, legend: null },
        },
      },
      {
        mark: { type: 'rule', color: '#222', strokeWidth: 1 },
        encoding: { y: name, x: { field: 'least', type: 'quantitative' }, x2: { field: 'greatest' } },
      },
      {
        mark: { type: 'text', align: 'left', dx: 6, fontSize: 11 },
        encoding: { y: name, x: { field: 'greatest', type: 'quantitative' }, text: { field: 'text' } },
      },
    ],
  });
}

/** Every finding that has a target, by how far it is on the good side of it; the line at 1 is the target. Undefined when none has. */
export function targetsPlot(findings: readonly Finding[]): Promise<string> | undefined {
  const values = findings.flatMap((finding) => {
    if (finding.target === undefined || finding.value <= 0) return [];
    const target = targetOf(finding.target);
    const { bound, limit, what } = target;
    const margin = bound === 'at least' ? finding.value / limit : limit / finding.value;
    const text = `${formatValue(finding.value, finding.unit)} (${bound === 'at least' ? '≥' : '≤'} ${formatValue(limit, finding.unit)})`;
    return [{ what, margin, text, state: judge(finding.value, target) }];
  });
  if (values.length === 0) return undefined;
  const what = { field: 'what', type: 'nominal', sort: null, axis: { title: null, labelLimit: 640, ticks: false, domain: false } } as const;
  const greatest = Math.max(4, ...values.map(({ margin }) => margin * 1.25));
  const domain = [Math.min(0.25, ...values.map(({ margin }) => margin * 0.8)), greatest];
  const margin = {
    field: 'margin',
    type: 'quantitative',
    scale: { type: 'log', domain, nice: false },
    axis: { title: null, values: TICKS, format: '~g', grid: true },
  } as const;
  const color = {
    field: 'state',
    type: 'nominal',
    scale: { domain: Object.keys(VERDICTS), range: Object.values(VERDICTS) },
    legend: null,
  } as const;
  return render({
    title: {
      text: 'Targets',
      subtitle: 'how many times better than the target (right of the line: met), with the measured value and the target',
      anchor: 'start',
    },
    width: WIDTH / 2,
    height: { step: 20 },
    data: { values },
    layer: [
      { mark: { type: 'rule', color: '#222' }, encoding: { x: { datum: 1, type: 'quantitative' } } },
      { mark: { type: 'point', filled: true, size: 60 }, encoding: { y: what, x: margin, color } },
      // A column of figures at the right edge: beside the points they would cross the line.
      {
        mark: { type: 'text', align: 'left', dx: 8, fontSize: 11 },
        encoding: { y: what, x: { datum: greatest, type: 'quantitative' }, text: { field: 'text' }, color },
      },
    ],
  });
}

/** Renders on the server: no browser, no DOM. */
async function render(spec: TopLevelSpec): Promise<string> {
  const { spec: compiled } = compile({
    ...spec,
    background: 'white',
    padding: 12,
    config: {
      font: 'sans-serif',
      view: { stroke: null },
      axis: { gridColor: '#e6e6e0', labelFontSize: 11 },
      title: { subtitleColor: '#666', offset: 12 },
    },
  });
  const view = new View(parse(compiled), { renderer: 'none' });
  try {
    return `${await view.toSVG()}\n`;
  } finally {
    view.finalize();
  }
}
