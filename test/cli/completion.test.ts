import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { BIN, lines, useWorkplace } from './support/cairn.js';

const place = useWorkplace('shared');

beforeAll(async () => {
  const { at } = place;
  for (const name of ['models', 'more', 'other']) await at.seed(name);
  mkdirSync(at.path('bin'));
  writeFileSync(at.path('bin', 'cairn'), `#!/bin/sh\nexec '${process.execPath}' '${BIN}' "$@"\n`, { mode: 0o755 });
});

/** The values offered for the last of these words. */
async function offered(...words: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await place.at.run(['__complete', ...words]);
  expect([code, stderr]).toEqual([0, '']);
  return lines(stdout).map((line) => line.split('\t')[0]!);
}

describe('what a word may become', () => {
  test('commands and their subcommands, without those that are no help', async () => {
    expect(await offered('')).toEqual(expect.arrayContaining(['volume', 'put', 'log', 'prune', 'completion']));
    expect(await offered('ro')).toEqual(['rollback']);
    expect(await offered('volume', 're')).toEqual(['rename']);
    expect(await offered('--store', 'x', '-v', 'ver')).toEqual(['verify']);
    expect(await offered('__')).toEqual([]);
  });

  test('options of the command, before and after its arguments, and none after --', async () => {
    expect(await offered('diff', '--e')).toEqual(['--exit-code']);
    expect(await offered('diff', 'models', '--te')).toEqual(['--tensors']);
    expect(await offered('put', 'models', '--', '-')).toEqual([]);
    expect(await offered('--j')).toEqual(['--json']);
  });

  test('names of volumes where one is due, in the store that the line names', async () => {
    const { at } = place;
    for (const words of [
      ['ls'],
      ['log'],
      ['prune', '--keep-last', '3'],
      ['tag'],
      ['diff', 'models'],
      ['volume', 'delete'],
      ['volume', 'rename'],
      ['cp'],
    ])
      expect([words, await offered(...words, 'mo')]).toEqual([words, ['models', 'more']]);
    expect(await offered('--store', at.path('nowhere'), 'ls', 'mo')).toEqual([]);
    expect(await offered('ls', `--store=${at.store}`, 'mo')).toEqual(['models', 'more']);
    for (const words of [
      ['volume', 'create'],
      ['ls', 'models'],
      ['put', 'models'],
      ['put', 'models', '-m'],
      ['volume', 'rename', 'models'],
    ])
      expect([words, await offered(...words, 'mo')]).toEqual([words, []]);
    expect(await offered('completion', '')).toEqual(['bash', 'zsh', 'fish']);
  });
});

/** Whether a shell is there, or could be installed: on a machine that is there for tests only. */
function has(shell: 'zsh' | 'fish'): boolean {
  const isThere = (): boolean => spawnSync(shell, ['--version']).error === undefined;
  if (!isThere() && process.env['CI'] !== undefined) {
    console.warn(`installing ${shell}`);
    spawnSync('apt-get', ['install', '--yes', '--quiet', '--no-install-recommends', shell]);
  }
  if (isThere()) return true;
  console.warn(`tests of the completion of ${shell} are skipped: it is not installed`);
  return false;
}

const [hasFish, hasZsh] = [has('fish'), has('zsh')];

describe('completion', () => {
  const env = (): NodeJS.ProcessEnv => ({
    ...process.env,
    CAIRN_STORE: place.at.store,
    PATH: `${place.at.path('bin')}:${process.env['PATH']}`,
  });

  test('of bash offers what the command offers, also behind what bash cuts words at', () => {
    const ask = (line: string): string[] => {
      const script = `source <(cairn completion bash); COMP_LINE='${line}'; COMP_POINT=\${#COMP_LINE}; _cairn cairn; printf '%s\\n' "\${COMPREPLY[@]}"`;
      return lines(execFileSync('bash', ['-c', script], { env: env() }).toString());
    };
    expect(ask('cairn ls mo')).toEqual(['models', 'more']);
    expect(ask('cairn ls ')).toEqual(['models', 'more', 'other']);
    expect(ask('cairn diff models@HEAD~1:/x mo')).toEqual(['models', 'more']);
    expect(ask('cairn volume del')).toEqual(['delete']);
    expect(ask('cairn put models ')).toEqual([]);
  });

  test.runIf(hasFish)('of fish, too', () => {
    const ask = (line: string): string[] => {
      const output = execFileSync('fish', ['-c', `cairn completion fish | source; complete -C '${line}'`], {
        env: env(),
        cwd: place.at.path('bin'),
      });
      return lines(output.toString()).map((each) => each.split('\t')[0]!);
    };
    expect(ask('cairn ls mo')).toEqual(['models', 'more']);
    expect(ask('cairn volume del')).toEqual(['delete']);
    expect(ask('cairn put models ca')).toEqual(['cairn']);
  });

  test.runIf(hasZsh)('of zsh completes what is typed at a terminal: names of volumes, subcommands, and files where those are due', () => {
    writeFileSync(place.at.path('bin', 'weights.bin'), '');
    // Each line and a tab, and then what has to appear: zsh waits for it.
    const typed = { 'cairn ls mo': '*models*more*', 'cairn volume re': '*rename*', 'cairn put models wei': '*weights.bin*' };
    const steps = Object.entries(typed).map(
      ([line, shown]) => `zpty -w -n shell $'${line}\\t'; zpty -r shell shown '${shown}'; print -r -- '${line}'; zpty -w -n shell $'\\x15'`,
    );
    const script = `zmodload zsh/zpty; zpty shell zsh -f -i
zpty -w shell 'PS1= RPS1=; autoload -U compinit; compinit -u -D; source <(cairn completion zsh)'
${steps.join('\n')}
zpty -d shell`;
    const output = execFileSync('zsh', ['-fc', script], {
      env: env(),
      cwd: place.at.path('bin'),
      timeout: 60_000,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    expect(lines(output.toString())).toEqual(Object.keys(typed));
  });

  test.runIf(hasZsh)('of zsh asks for the words up to the cursor, and says what they are for', () => {
    // What it would describe is caught.
    const script = `compdef() { :; }; _describe() { print -rl -- "\${lines[@]}"; }; _files() { print files; }
source <(cairn completion zsh); words=(cairn volume re later); CURRENT=3; _cairn; words=(cairn put models ''); CURRENT=4; _cairn`;
    const output = execFileSync('zsh', ['-fc', script], { env: env() });
    expect(lines(output.toString())).toEqual(['rename:give a volume another name; its history stays', 'files']);
  });

  test('of another shell is refused', async () => {
    const { at } = place;
    expect(await at.run(['completion', 'tcsh'])).toMatchObject({ code: 2, stdout: '' });
    expect(await at.json('completion', 'bash')).toMatchObject({ shell: 'bash', script: expect.stringContaining('_cairn') as string });
  });
});
