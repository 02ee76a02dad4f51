import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { useWorkplace } from './support/cairn.js';

const VERSION = (JSON.parse(readFileSync(new URL('../../packages/cli/package.json', import.meta.url), 'utf8')) as { version: string })
  .version;
const COMMANDS = [
  'volume',
  'put',
  'get',
  'ls',
  'stat',
  'cat',
  'rm',
  'mv',
  'cp',
  'log',
  'show',
  'diff',
  'tag',
  'rollback',
  'prune',
  'tensors',
  'usage',
  'verify',
  'repair',
  'mount',
  'commit',
  'reload',
  'status',
  'unmount',
  'run',
  'completion',
];
const VOLUME_COMMANDS = ['create', 'list', 'info', 'rename', 'delete', 'fork', 'ls', 'get', 'put', 'rm', 'cp'];

/** Fails the process when it imports the library. */
const WITHOUT_CORE = [
  '--import',
  `data:text/javascript,${encodeURIComponent(`import { register } from 'node:module';
register('data:text/javascript,' + encodeURIComponent("export const resolve = (name, context, next) => { if (name === '@cairn/core') throw new Error('core was loaded'); return next(name, context); };"));`)}`,
];

const place = useWorkplace('shared');

describe('what needs no store answers without loading the engine', () => {
  test('--version prints the version of the package', async () => {
    for (const args of [['--version'], ['-V'], ['--json', '--version']]) {
      expect(await place.at.run(args, { nodeOptions: WITHOUT_CORE })).toMatchObject({ code: 0, stdout: `${VERSION}\n`, stderr: '' });
    }
  });

  test('--help names every command, and `help put` is `put --help`', async () => {
    const [help, helpPut, putHelp] = await Promise.all([
      place.at.run(['--help'], { nodeOptions: WITHOUT_CORE }),
      place.at.run(['help', 'put'], { nodeOptions: WITHOUT_CORE }),
      place.at.run(['put', '-h']),
    ]);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    for (const command of COMMANDS) expect(help.stdout).toMatch(new RegExp(`^  ${command} +\\w`, 'm'));
    expect(helpPut).toMatchObject({ code: 0, stderr: '' });
    expect(helpPut).toEqual(putHelp);
  });

  test.each(COMMANDS)('%s --help shows an example', async (command) => {
    const help = await place.at.run([command, '--help']);
    expect(help).toMatchObject({ code: 0, stderr: '' });
    expect(help.stdout).toMatch(new RegExp(`Example:\\n  .*cairn ${command} `));
  });

  test('completion --help shows how it is switched on', async () => {
    expect((await place.at.run(['completion', '--help'])).stdout).toContain('source <(cairn completion bash)');
  });

  test('every command of `modal volume` is there below `cairn volume`', async () => {
    const [all, ls] = await Promise.all([place.at.run(['volume', '--help']), place.at.run(['volume', 'help', 'ls'])]);
    for (const command of VOLUME_COMMANDS) expect(all.stdout).toMatch(new RegExp(`^  ${command} +\\w`, 'm'));
    expect(ls.stdout).toContain('Usage: cairn volume ls');
  });
});

describe('wrong usage is exit code 2, with the message and the next step on stderr', () => {
  test.each([
    [[], /^Usage: cairn/],
    [['putt'], /^cairn: unknown command 'putt'\n {2}hint: did you mean put\? see 'cairn --help'\n$/],
    [['put'], /^cairn: missing required argument 'volume'\n {2}hint: see 'cairn put --help'\n$/],
    [['volume', 'create'], /^cairn: missing required argument 'name'\n {2}hint: see 'cairn volume/],
    [['ls', 'v', '--bogus'], /^cairn: unknown option '--bogus'\n {2}hint: see 'cairn ls --help'\n$/],
    [['ls', 'v', 'a', 'b'], /^cairn: too many arguments/],
    [['put', 'v', 'x', '-m'], /^cairn: option '-m, --message <text>' argument missing\n {2}hint: /],
    [['put', 'v', 'a', 'b', 'c'], /^cairn: too many paths\n {2}hint: .* -t DIR/],
    [['put', 'v', 'x', '--meta', 'novalue'], /^cairn: 'novalue' is no metadata\n {2}hint: /],
    [['rm', 'v'], /^cairn: no path given\n {2}hint: /],
    [['rollback', 'v'], /^cairn: roll back to what\?\n {2}hint: /],
    [['log', 'v', '-n', 'many'], /^cairn: 'many' is not a number of versions\n {2}hint: /],
    [['diff', 'v:/a', 'v:/b'], /^cairn: two paths\n {2}hint: /],
    [['tag', 'v', '-d'], /^cairn: no tag given\n {2}hint: /],
  ])('cairn %j', async (args, message) => {
    const result = await place.at.run(args);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(result.stderr).toMatch(message);
  });

  test('with --json the error is one JSON document', async () => {
    const result = await place.at.run(['put', '--json']);
    expect(result).toMatchObject({ code: 2, stdout: '' });
    expect(JSON.parse(result.stderr)).toEqual({
      error: { code: 'CAIRN_INVALID_ARGUMENT', message: "missing required argument 'volume'", hint: "see 'cairn put --help'", exitCode: 2 },
    });
  });

  test('-v adds the stack trace, which is not shown otherwise', async () => {
    expect((await place.at.run(['rm', 'v'])).stderr).not.toContain('    at ');
    expect((await place.at.run(['rm', 'v', '-v'])).stderr).toContain('    at ');
  });
});
