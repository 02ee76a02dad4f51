import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, describe, expect, test } from 'vitest';
import { finished, lines, useWorkplace } from './support/cairn.js';

const place = useWorkplace();

beforeEach(async () => {
  const { at } = place;
  mkdirSync(at.path('m', 'd'), { recursive: true });
  for (const name of ['a', 'd/b']) writeFileSync(at.path('m', name), `content of ${name}`);
  await at.seed('v', 'm');
});

describe('a mounted folder', () => {
  test('f commits, g does not see it, reloads, sees it', async () => {
    const { at } = place;
    const mounted = await at.ok('mount', 'v', 'f');
    expect(mounted.stdout).toMatch(/^v@[0-9a-f]{12} {2}2 files, .* → .*\/f\n$/);
    await at.ok('mount', 'v', 'g');
    writeFileSync(at.path('f', 'a'), 'edited');
    rmSync(at.path('f', 'd'), { recursive: true });
    writeFileSync(at.path('f', 'new'), 'new');
    expect((await at.ok('status', 'f')).stdout).toBe('A\tnew\nM\ta\nD\td/b\n');
    expect(await at.json('commit', '--meta', 'step=3', 'loss=0.25', 'by=a=b', './f', '-m', 'from f')).toMatchObject({
      volume: 'v',
      changed: true,
      added: 1,
      modified: 1,
      removed: 1,
      snapshot: { message: 'from f', metadata: { step: 3, loss: 0.25, by: 'a=b' } },
      busy: [],
      skipped: [],
    });
    expect(readFileSync(at.path('g', 'a'), 'utf8')).toBe('content of a');
    expect(await at.json('status', 'g')).toMatchObject({ behind: 1, added: [], ownerPid: null });
    expect((await at.ok('reload', 'g')).stdout).toBe('updated 3 files\n');
    expect(readFileSync(at.path('g', 'a'), 'utf8')).toBe('edited');
    expect(existsSync(at.path('g', 'd'))).toBe(false);
    expect((await at.ok('commit', 'g')).stdout).toMatch(/ {2}nothing changed\n$/);
  });

  test('--follow keeps both sides the same until Ctrl-C, and commits what is left then', async () => {
    const { at } = place;
    const child = at.start(['mount', 'v', 'f', '--follow', '--exclude', '*.tmp']);
    const result = finished(child);
    await new Promise((resolve) => child.stdout!.once('data', resolve));
    writeFileSync(at.path('elsewhere'), 'from elsewhere');
    await at.ok('put', 'v', 'elsewhere', '/');
    for (let i = 0; !existsSync(at.path('f', 'elsewhere')); i++) {
      expect(i, 'seconds without the file').toBeLessThan(200);
      await sleep(100);
    }
    writeFileSync(at.path('f', 'here'), 'from here');
    writeFileSync(at.path('f', 'passing.tmp'), 'x');
    child.kill('SIGINT');
    expect(await result).toMatchObject({ code: 130, stderr: expect.stringMatching(/^now at v@[0-9a-f]{12}$/m) as string });
    expect(await at.tree('v')).toEqual(['a', 'd', 'd/b', 'elsewhere', 'here']);
  });

  test('takes a version, a folder of it, and read-only; mounting it again goes on', async () => {
    const { at } = place;
    writeFileSync(at.path('a'), 'second');
    await at.ok('put', 'v', 'a', '-f');
    expect(await at.json('mount', 'v@HEAD~1', 'old', '--read-only')).toMatchObject({ volume: 'v', files: 2, dir: at.path('old') });
    expect(readFileSync(at.path('old', 'a'), 'utf8')).toBe('content of a');
    await at.ok('mount', 'v:/d', 'part');
    expect(readFileSync(at.path('part', 'b'), 'utf8')).toBe('content of d/b');
    writeFileSync(at.path('part', 'mine'), 'x');
    await at.ok('mount', 'v', 'part', '--sub-path', 'd');
    expect((await at.ok('status', 'part')).stdout).toBe('A\tmine\n');
    expect(await at.run(['commit', 'old'])).toMatchObject({ code: 7 });
  });

  test('conflicts: reload keeps what is here and names it, or with --fail-on-conflict exits with 5', async () => {
    const { at } = place;
    await at.ok('mount', 'v', 'f');
    writeFileSync(at.path('a'), 'theirs');
    await at.ok('put', 'v', 'a', '-f');
    writeFileSync(at.path('f', 'a'), 'mine');
    expect(await at.run(['reload', 'f', '--fail-on-conflict'])).toMatchObject({ code: 5 });
    const reloaded = await at.run(['reload', 'f']);
    expect(reloaded).toMatchObject({ code: 0, stdout: 'updated 0 files\n' });
    expect(reloaded.stderr).toContain('kept as it is here: a\n');
    expect(readFileSync(at.path('f', 'a'), 'utf8')).toBe('mine');
  });

  test('unmount keeps the files; with --remove takes them away, unless something is not committed', async () => {
    const { at } = place;
    await at.ok('mount', 'v', 'f');
    writeFileSync(at.path('f', 'a'), 'mine');
    expect(await at.run(['unmount', 'f', '--remove', '--json'])).toMatchObject({ code: 5, stdout: '' });
    await at.ok('commit', 'f');
    await at.ok('unmount', 'f', '--remove');
    expect(existsSync(at.path('f'))).toBe(false);
    await at.ok('mount', 'v', 'f');
    await at.ok('unmount', 'f');
    expect(readFileSync(at.path('f', 'a'), 'utf8')).toBe('mine');
    expect(await at.run(['status', 'f'])).toMatchObject({ code: 7 });
  });

  test('a commit that leaves busy files out says which, and exits with 9', async () => {
    const { at } = place;
    await at.ok('mount', 'v', 'f');
    const script = `const fs = require('fs'); const fd = fs.openSync('f/busy', 'w'); for (let i = 0; ; i++) fs.writeSync(fd, String(i), 0);`;
    const writer = (await import('node:child_process')).spawn(process.execPath, ['-e', script], { cwd: at.dir });
    try {
      while (!existsSync(at.path('f', 'busy'))) await sleep(5);
      // A writer that gets no turn for long does not keep the file from being read.
      let result = await at.run(['commit', 'f']);
      while (result.code === 0) result = await at.run(['commit', 'f']);
      expect(result).toMatchObject({ code: 9, stderr: 'busy, left as it was: busy\n' });
    } finally {
      writer.kill('SIGKILL');
    }
  });
});

describe('run', () => {
  test('mounts, commits what the command wrote, passes its output and exit code on, and prints the version on stderr', async () => {
    const { at } = place;
    const result = await at.run(['run', '--volume', 'v=w', '--', 'sh', '-c', 'cat w/a; echo out > w/out; exit 3']);
    expect(result).toMatchObject({ code: 3, stdout: 'content of a' });
    expect(result.stderr).toMatch(/^v@[0-9a-f]{12}\n$/);
    expect(await at.tree('v')).toEqual(['a', 'd', 'd/b', 'out']);
  });

  test('commits while it runs; the command can commit, too, and see what came of it', async () => {
    const { at } = place;
    const script = `
import subprocess, time, os, json
cairn = json.loads(os.environ['CAIRN_BIN'])
open('w/early', 'w').write('early')
listed = ''
while 'early' not in listed:
    time.sleep(0.2)
    listed = subprocess.run(cairn + ['ls', 'v'], capture_output=True, text=True, check=True).stdout
print(listed, flush=True)
open('w/late', 'w').write('late')
print(subprocess.run(cairn + ['commit', 'w', '-m', 'from python'], capture_output=True, text=True, check=True).stdout, flush=True)
`;
    const { BIN } = await import('./support/cairn.js');
    const env = { CAIRN_BIN: JSON.stringify([process.execPath, BIN]) };
    const result = await at.run(['run', '--volume', 'v=w', '--interval', '0.2', '--', 'python3', '-c', script], { env });
    expect(result, result.stderr).toMatchObject({ code: 0 });
    expect(lines(result.stdout).slice(0, 3)).toEqual(['a', 'd', 'early']);
    // On a slow machine a commit of ours may come before that of the command.
    expect(result.stdout).toMatch(/v@[0-9a-f]{12} {2}[01] added/);
    expect((await at.json<{ message: string }>('show', 'v')).message).toBe('from python');
  });

  test('passes signals on, and commits when the command has ended', async () => {
    const { at } = place;
    const script = 'trap "echo cleanup > w/cleanup; exit 7" TERM; echo ready; sleep 60 >/dev/null 2>&1 & wait';
    const child = at.start(['run', '--volume', 'v=w', '--', 'sh', '-c', script]);
    const result = finished(child);
    await new Promise((resolve) => child.stdout!.once('data', resolve));
    child.kill('SIGTERM');
    expect(await result).toMatchObject({ code: 7, stdout: 'ready\n' });
    expect(await at.tree('v')).toContain('cleanup');
    expect(await at.run(['run', '--volume', 'v=w', '--', 'sh', '-c', 'kill -9 $$'])).toMatchObject({ code: 137 });
  });

  test('several volumes, and one for reading only', async () => {
    const { at } = place;
    await at.seed('o');
    const volumes = ['--volume', 'v=in:ro', '--volume', 'o=out'];
    await at.ok('run', ...volumes, '--', 'cp', 'in/a', 'out/copy');
    expect(await at.tree('o')).toEqual(['copy']);
    expect(await at.ids('v')).toHaveLength(1);
  });

  test('exit codes of its own: 125 when it fails, 126 for what cannot be run, 127 for what is not there', async () => {
    const { at } = place;
    writeFileSync(at.path('text'), '');
    chmodSync(at.path('text'), 0o644);
    mkdirSync(at.path('full'));
    writeFileSync(at.path('full', 'x'), '');
    const codeOf = async (...args: string[]): Promise<number | null> => (await at.run(['run', ...args])).code;
    expect(await codeOf('--volume', 'v=w', '--', 'no-such-command')).toBe(127);
    expect(await codeOf('--volume', 'v=w', '--', './text')).toBe(126);
    expect(await codeOf('--volume', 'nothing=w', '--', 'true')).toBe(125);
    expect(await codeOf('--volume', 'v=full', '--', 'true')).toBe(125);
    expect(await codeOf('--volume', 'v', '--', 'true')).toBe(2);
    expect(await codeOf('--', 'true')).toBe(2);
    const { error } = JSON.parse((await at.run(['run', '--volume', 'nothing=w', '--json', '--', 'true'])).stderr) as { error: object };
    expect(error).toMatchObject({ code: 'CAIRN_VOLUME_NOT_FOUND', exitCode: 125 });
  });
});
