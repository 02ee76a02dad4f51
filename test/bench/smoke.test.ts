import { execFile } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it } from 'vitest';

const bench = fileURLToPath(new URL('../../bench/dist/main.js', import.meta.url));
const start = promisify(execFile);

interface Results {
  rows: { id: string; series: { measurements: { name: string; samples: number[] }[] }[] }[];
  failures: { id: string; reason: string }[];
}

let dir: string;
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'cairn-bench-'));
});
afterAll(() => rm(dir, { recursive: true, force: true }));

it('every row runs at tiny sizes and leaves a report with a plot of its own', { timeout: 300_000 }, async () => {
  const out = join(dir, 'out');
  await start(process.execPath, [bench, '--quick', '--cache', join(dir, 'cache'), '--out', out]);
  const { rows, failures } = JSON.parse(await readFile(join(out, 'results.json'), 'utf8')) as Results;
  expect(failures).toEqual([]);
  const { stdout } = await start(process.execPath, [bench, '--list']);
  expect(rows.map(({ id }) => id)).toEqual(
    stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0]),
  );
  for (const { series } of rows) {
    for (const { samples } of series.flatMap(({ measurements }) => measurements)) expect(samples.every(Number.isFinite)).toBe(true);
  }
  const files = await readdir(out);
  for (const { id } of rows) expect(files).toContain(`${id}.svg`);
  expect(await readFile(join(out, 'README.md'), 'utf8')).not.toContain(dir);
});

it('a wrong flag or row is answered with words and exit code 2', async () => {
  await expect(start(process.execPath, [bench, '--rows', 'nonsense'])).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('nonsense'),
  });
  await expect(start(process.execPath, [bench, '--rounds', 'many'])).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringContaining('--rounds'),
  });
});
