import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { markdownPage } from './markdown.js';
import { seriesPlot, targetsPlot } from './plots.js';
import { RESULTS_FILE } from './report.js';
import type { Report } from './report.js';

const OVERVIEW = 'targets.svg';

/** Writes the JSON file, `README.md` and the plots into `dir`, in place of those of an earlier run. */
export async function writeReport(dir: string, report: Report): Promise<void> {
  await mkdir(dir, { recursive: true });
  for (const name of await readdir(dir)) if (name.endsWith('.svg')) await rm(join(dir, name));
  const plots = new Map<string, string[]>();
  for (const row of report.rows) {
    const names: string[] = [];
    for (const [index, series] of row.series.entries()) {
      const name = index === 0 ? `${row.id}.svg` : `${row.id}-${index + 1}.svg`;
      await writeFile(join(dir, name), await seriesPlot(row.title, series));
      names.push(name);
    }
    plots.set(row.id, names);
  }
  const overview = await targetsPlot(report.rows.flatMap((row) => row.findings));
  if (overview !== undefined) await writeFile(join(dir, OVERVIEW), overview);
  await writeFile(join(dir, RESULTS_FILE), `${JSON.stringify(report, null, 2)}\n`);
  await writeFile(join(dir, 'README.md'), markdownPage(report, plots, overview === undefined ? undefined : OVERVIEW));
}
