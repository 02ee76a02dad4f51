// Everything that CI runs, in one go: format, lint, types, tests (the library's once more with the portable hash), packed packages, documentation.
// The last line counts: every test is one, and so is every other check.
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join, relative } from 'node:path';
import { ROOT, runTool, since } from './lib/tools.mjs';

const REPORTS = join(ROOT, '.cache', 'check');
/** Of a failed test, at the end. */
const MESSAGE_LINES = 12;

/** What goes through the whole of the library by way of either hash; that both give the same digests has tests of its own. */
const PORTABLE = ['--project', 'core', ...['hash', 'contract', 'reading'].map((folder) => `test/${folder}/`)];

/**
 * @typedef {{ passed: number, failed: number, skipped: number, failures?: string[] }} Count `failures`: a paragraph each
 * @typedef {{ name: string, check: () => Promise<Count> }} Section
 */

/**
 * One stage after another; the lanes of a stage run side by side, since each of their checks keeps one core busy.
 * @type {Section[][][]}
 */
const stages = [
  [
    [
      { name: 'format', check: tool('prettier', join('bin', 'prettier.cjs'), ['--check', '--log-level', 'warn', '.']) },
      { name: 'types', check: tool('typescript', join('bin', 'tsc'), ['-b', '--pretty']) },
      { name: 'documentation', check: tool('typedoc', join('bin', 'typedoc'), ['--emit', 'none']) },
    ],
    [{ name: 'packed packages', check: tests('packaging', ['--project', 'packaging'], { quiet: true }) }],
  ],
  [[{ name: 'lint', check: tool('eslint', join('bin', 'eslint.js'), ['.', '--max-warnings', '0', '--concurrency', '2']) }]],
  [
    [
      {
        name: 'tests',
        check: tests(
          'all',
          ['core', 'processes', 'hostile', 'command', 'tooling'].flatMap((name) => ['--project', name]),
        ),
      },
    ],
  ],
  [[{ name: 'the library, portable hash', check: tests('portable', PORTABLE, { env: { CAIRN_HASH: 'portable' } }) }]],
];

/** @returns {() => Promise<Count>} a check that passes when the tool exits with 0 */
function tool(name, bin, args) {
  return async () => {
    const code = await runTool(name, bin, args, { quiet: true });
    return { passed: code === 0 ? 1 : 0, failed: code === 0 ? 0 : 1, skipped: 0 };
  };
}

/** @returns {() => Promise<Count>} a run of vitest, counted from its JSON report */
function tests(name, args, options = {}) {
  const report = join(REPORTS, `${name}.json`);
  return async () => {
    rmSync(report, { force: true });
    const code = await runTool(
      'vitest',
      'vitest.mjs',
      ['run', ...args, '--reporter=default', '--reporter=json', `--outputFile.json=${report}`],
      options,
    );
    return count(report, code);
  };
}

/** A file that does not load has no tests in the report, and an error outside of tests only an exit code: each counts as one failure. */
function count(report, code) {
  let found;
  try {
    found = JSON.parse(readFileSync(report, 'utf8'));
  } catch {
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const unloaded = found.testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0);
  const failed = found.numFailedTests + unloaded.length;
  return {
    passed: found.numPassedTests,
    failed: failed === 0 && code !== 0 ? 1 : failed,
    skipped: found.numPendingTests + found.numTodoTests,
    failures: [
      ...unloaded.map(({ name, message }) => describe(name, 'does not load', message)),
      ...found.testResults.flatMap(({ name, assertionResults }) =>
        assertionResults
          .filter(({ status }) => status === 'failed')
          .map(({ fullName, failureMessages }) => describe(name, fullName, failureMessages.join('\n'))),
      ),
    ],
  };
}

/** A log may be kept only from its end on: what failed is said once more there. */
function describe(file, name, message) {
  return `${relative(ROOT, file)} > ${name}\n${message.split('\n').slice(0, MESSAGE_LINES).join('\n')}`;
}

mkdirSync(REPORTS, { recursive: true });
const rows = [];
const start = performance.now();
for (const lanes of stages)
  await Promise.all(
    lanes.map(async (lane) => {
      for (const { name, check } of lane) {
        console.log(`── ${name} ${'─'.repeat(Math.max(0, 60 - name.length))}`);
        const began = performance.now();
        const counted = await check();
        rows.push({ name, ...counted, seconds: since(began) });
      }
    }),
  );

const total = { passed: 0, failed: 0, skipped: 0 };
console.log('');
for (const { name, failures = [] } of rows) for (const failure of failures) console.log(`FAIL  ${name}: ${failure}\n`);
for (const { name, passed, failed, skipped, seconds } of rows) {
  total.passed += passed;
  total.failed += failed;
  total.skipped += skipped;
  console.log(
    `${failed === 0 ? 'ok  ' : 'FAIL'}  ${name.padEnd(34)} ${String(passed).padStart(5)} passed ${String(failed).padStart(3)} failed  ${seconds.padStart(8)}`,
  );
}
if (total.skipped > 0) console.log(`${total.skipped} skipped`);
console.log(`${since(start)} in all`);
console.log(`${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed === 0 ? 0 : 1;
