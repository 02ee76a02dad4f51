// Entry of `pnpm bench`: measures the chosen rows one after the other, prints each, and writes the report.
import { rmSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Context } from './context.js';
import { Library } from './datasets/library.js';
import { USAGE, parseFlags } from './flags.js';
import type { Flags } from './flags.js';
import { machineFacts } from './machine.js';
import { setUpPeers } from './peers/peers.js';
import { earlierRows } from './report/report.js';
import { terminalText } from './report/terminal.js';
import { writeReport } from './report/write.js';
import { ROWS } from './rows/all.js';
import type { Row, RowResult } from './rows/row.js';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

async function main(): Promise<number> {
  const flags = parseFlags(process.argv.slice(2));
  if (flags.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  if (flags.list) {
    for (const { id, title } of ROWS) process.stdout.write(`${id.padEnd(20)}  ${title}\n`);
    return 0;
  }
  const chosen = chooseRows(flags.rows);
  const cacheDir = resolve(flags.cacheDir ?? join(ROOT, '.cache', 'bench'));
  const outDir = resolve(flags.outDir ?? (flags.quick ? join(cacheDir, 'results-quick') : join(ROOT, 'bench', 'results')));
  const workDir = await makeWorkDir(resolve(flags.workDir ?? cacheDir));
  try {
    return await measureAll(flags, chosen, { cacheDir, workDir, outDir });
  } finally {
    await rm(workDir, { recursive: true, force: true });
  }
}

async function measureAll(
  flags: Flags,
  chosen: readonly Row[],
  dirs: { cacheDir: string; workDir: string; outDir: string },
): Promise<number> {
  const log = (line: string): void => void process.stderr.write(`${line}\n`);
  const peers = await setUpPeers(flags.peers, log);
  const library = new Library(join(dirs.cacheDir, 'data'), flags.seed, log);
  await library.prepare();
  const context: Context = { flags, library, peers, workDir: dirs.workDir, log };
  const machine = await machineFacts(dirs.workDir, peers.versions);
  // A run of some rows renews those, and keeps the others of the report.
  const kept = flags.rows.length === 0 ? [] : await earlierRows(dirs.outDir, { machine, quick: flags.quick });
  let rows = kept.filter(({ id }) => ROWS.some((row) => row.id === id));
  const failures: { id: string; reason: string }[] = [];
  for (const row of chosen) {
    log(`${row.title} …`);
    try {
      const result = await measureRow(row, context);
      rows = ROWS.flatMap(({ id }) => (id === row.id ? [result] : rows.filter((other) => other.id === id)));
      process.stdout.write(`\n${terminalText(result)}\n`);
    } catch (error) {
      // The other rows still count; a report with a hole says so, and the exit code does.
      const reason = error instanceof Error ? error.message : String(error);
      failures.push({ id: row.id, reason });
      log(`${row.id} could not be measured: ${error instanceof Error ? (error.stack ?? reason) : reason}`);
    }
    // After every row: a run that is stopped half-way leaves what it has.
    await writeReport(dirs.outDir, { machine, quick: flags.quick, rows, failures });
  }
  log(`Report: ${dirs.outDir}`);
  return failures.length === 0 ? 0 : 1;
}

async function measureRow(row: Row, context: Context): Promise<RowResult> {
  const run = {
    id: row.id,
    title: row.title,
    date: new Date().toISOString().slice(0, 10),
    rounds: context.flags.rounds,
    loadBefore: loadavg()[0] ?? 0,
  };
  return { ...run, ...(await row.measure(context)) };
}

/** A new folder in `parent`, so that no other's files are ever removed with it; gone also when the bench is stopped half-way. */
async function makeWorkDir(parent: string): Promise<string> {
  await mkdir(parent, { recursive: true });
  const dir = await mkdtemp(join(parent, 'work-'));
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    process.once(signal, () => {
      rmSync(dir, { recursive: true, force: true, maxRetries: 3 });
      process.exit(code);
    });
  }
  return dir;
}

/** @throws TypeError naming an id that no row has. */
function chooseRows(ids: readonly string[]): readonly Row[] {
  for (const id of ids) if (!ROWS.some((row) => row.id === id)) throw new TypeError(`no row is called '${id}'; see --list`);
  return ids.length === 0 ? ROWS : ROWS.filter(({ id }) => ids.includes(id));
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 2;
  },
);
