// The long run: every suite that looks for losses, each for its share of the given minutes, round after round with new seeds.
//   npm run test:soak -- --minutes 30 [--only kills,cuts] [--seed 1] [--report soak.json]
// Prints a table of counts and failures, and writes the same as JSON. Ctrl-C ends it with what it has so far.
import { spawn } from 'node:child_process';
import { createWriteStream, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { ROOT } from './lib/tools.mjs';

const OUT = join(ROOT, '.cache', 'soak');

/**
 * What is run: `files` of the tests, the environment of a round of about a minute or two, and which part of the time it gets.
 * @type {{ name: string, share: number, files: string[], env: Record<string, string | number> }[]}
 */
const SUITES = [
  { name: 'states', share: 4, files: ['crash/crash-states', 'crash/mount-states'], env: { CAIRN_SOAK_STATES: 4000 } },
  {
    name: 'faults',
    share: 1,
    files: [
      ...['process/faults', 'process/copy-faults', 'process/read-faults', 'process/work-read-faults', 'mount/faults', 'mount/crash'],
      ...['process/lease-faults', 'process/killed-repair', 'process/damaged-journal', 'process/repair'],
    ],
    env: { CAIRN_TEST_FAULTS: 'all' },
  },
  {
    name: 'kills',
    share: 4,
    files: ['process/killed-crowds', 'process/killed-mounts', 'process/kills', 'process/killed-put', 'process/concurrent-commits'],
    env: { CAIRN_TEST_CROWD_KILLS: 60, CAIRN_TEST_MOUNT_KILLS: 10, CAIRN_TEST_KILLS: 16, CAIRN_TEST_PUT_KILLS: 6 },
  },
  { name: 'cuts', share: 4, files: ['process/power-cut'], env: { CAIRN_TEST_CUTS: 40 } },
  { name: 'histories', share: 3, files: ['process/histories'], env: { CAIRN_TEST_HISTORIES: 21 } },
  {
    name: 'collections',
    share: 2,
    files: ['process/collected-beside', 'process/gc', 'process/dry-run', 'gc'],
    env: { CAIRN_SOAK_MINUTES: 2, CAIRN_SOAK_GC: 40, CAIRN_TEST_DRY_RUNS: 60 },
  },
  { name: 'memory', share: 1, files: ['process/collection-memory'], env: { CAIRN_SOAK_CHUNKS: 10_000_000 } },
  { name: 'races', share: 1, files: ['process/handle-races'], env: { CAIRN_TEST_RACES: 400 } },
  {
    name: 'programs',
    share: 2,
    files: ['property', 'process/rebuild', 'mount/model'],
    env: { CAIRN_TEST_RUNS: 60, CAIRN_TEST_MOUNT_RUNS: 3 },
  },
  {
    name: 'flips',
    share: 1,
    files: ['hostile', 'mount/damaged-states'],
    env: { CAIRN_SOAK_FLIPS: 5000, CAIRN_SOAK_INDEX_FLIPS: 300 },
  },
  { name: 'fuzz', share: 4, files: ['fuzz'], env: { CAIRN_SOAK_FUZZ: 250_000 } },
];

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '30' },
    only: { type: 'string' },
    seed: { type: 'string' },
    report: { type: 'string', default: join(OUT, 'report.json') },
  },
});
const minutes = Number(values.minutes);
const firstSeed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 30) : Number(values.seed);
const names = values.only?.split(',') ?? SUITES.map(({ name }) => name);
const unknown = names.filter((name) => !SUITES.some((suite) => suite.name === name));
if (!(minutes > 0) || !Number.isInteger(firstSeed) || unknown.length > 0) {
  console.error(`usage: npm run test:soak -- --minutes N [--only ${SUITES.map(({ name }) => name).join(',')}] [--seed N] [--report FILE]`);
  process.exit(2);
}

let interrupted = false;
/** The round that is under way. */
let running;
// From a terminal the tests hear it too, and end; what they have done until then is told.
process.on('SIGINT', () => (interrupted = true));
process.on('SIGTERM', () => {
  interrupted = true;
  running?.kill('SIGTERM');
});

mkdirSync(OUT, { recursive: true });
const chosen = SUITES.filter(({ name }) => names.includes(name));
const shares = chosen.reduce((sum, { share }) => sum + share, 0);
const started = new Date();
const results = [];
for (const suite of chosen) {
  if (interrupted) break;
  results.push(await runSuite(suite, (minutes * 60 * suite.share) / shares));
  writeReport();
}
printTable();
process.exitCode = interrupted ? 130 : results.some(({ failures }) => failures.length > 0) ? 1 : 0;

/** Rounds until the time is up, at least one. */
async function runSuite(suite, seconds) {
  const result = { suite: suite.name, rounds: 0, seconds: 0, counts: {}, seeds: [], failures: [] };
  const start = performance.now();
  do {
    const seed = firstSeed + result.rounds;
    const log = join(OUT, `${suite.name}-${seed}.log`);
    const told = join(OUT, 'told.ndjson');
    rmSync(told, { force: true });
    const files = suite.files.map((file) => `test/${file}`);
    const code = await vitest(files, { ...suite.env, CAIRN_TEST_SEED: seed, CAIRN_SOAK_REPORT: told }, log);
    // Of a round that was cut short what its tests have told until then.
    addCounts(result.counts, told);
    result.seconds = Math.round((performance.now() - start) / 1000);
    if (interrupted) break;
    result.rounds++;
    result.seeds.push(seed);
    if (code === 0) rmSync(log);
    else result.failures.push({ seed, log, again: again(suite, files, seed) });
    console.log(`${suite.name}, seed ${seed}: ${code === 0 ? 'ok' : `FAILED, see ${log}`}; ${result.seconds} s, ${counted(result.counts)}`);
  } while (!interrupted && (performance.now() - start) / 1000 < seconds);
  return result;
}

function again({ env }, files, seed) {
  const variables = Object.entries({ ...env, CAIRN_TEST_SEED: seed }).map(([name, value]) => `${name}=${value}`);
  return `${variables.join(' ')} npx vitest run ${files.join(' ')}`;
}

/** Runs tests with all their output in a file; resolves to the exit code. */
function vitest(files, env, log) {
  return new Promise((resolve) => {
    const output = createWriteStream(log);
    const child = spawn(process.execPath, [join(ROOT, 'node_modules', 'vitest', 'vitest.mjs'), 'run', ...files], {
      cwd: ROOT,
      env: { ...process.env, ...Object.fromEntries(Object.entries(env).map(([name, value]) => [name, String(value)])) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running = child;
    child.stdout.pipe(output, { end: false });
    child.stderr.pipe(output, { end: false });
    child.on('error', (error) => output.write(`${error.stack}\n`));
    child.on('close', (code) => output.end(() => resolve(code ?? 1)));
  });
}

/** Adds up what the tests told of themselves (`tell` of test/support). */
function addCounts(counts, file) {
  if (!existsSync(file)) return;
  for (const line of readFileSync(file, 'utf8').trim().split('\n')) {
    const { what, counts: more } = JSON.parse(line);
    for (const [name, count] of Object.entries(more)) counts[`${what} ${name}`] = (counts[`${what} ${name}`] ?? 0) + count;
  }
}

function counted(counts) {
  return Object.entries(counts)
    .map(([name, count]) => `${name} ${count.toLocaleString('en')}`)
    .join(', ');
}

function writeReport() {
  const machine = { processors: cpus().length, model: cpus()[0]?.model, kernel: release(), node: process.version };
  const report = { started: started.toISOString(), minutes, seed: firstSeed, machine, interrupted, results };
  writeFileSync(values.report, `${JSON.stringify(report, undefined, 2)}\n`);
}

function printTable() {
  console.log(`\n| suite | rounds | seconds | counts | failures |\n| --- | ---: | ---: | --- | ---: |`);
  for (const { suite, rounds, seconds, counts, failures } of results)
    console.log(`| ${suite} | ${rounds} | ${seconds} | ${counted(counts)} | ${failures.length} |`);
  for (const { suite, failures } of results) for (const { seed, again: how } of failures) console.log(`${suite}, seed ${seed}: ${how}`);
  console.log(`first seed ${firstSeed}; all of it in ${values.report}`);
}
