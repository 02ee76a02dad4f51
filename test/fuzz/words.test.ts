import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openStore } from '@cairn/core';
import { afterAll, beforeAll, describe, vi } from 'vitest';
import { ExitCode } from '../../packages/cli/src/exit-codes.js';
import { main } from '../../packages/cli/src/main.js';
import { onePath, parsePlace, parseTarget } from '../../packages/cli/src/place.js';
import { buildProgram } from '../../packages/cli/src/program.js';
import { CairnError } from '../../packages/core/src/errors.js';
import { digestFromHex, type Digest } from '../../packages/core/src/hash/digest.js';
import { pathToKey, keyToPath } from '../../packages/core/src/manifest/keys.js';
import type { History } from '../../packages/core/src/volume/history.js';
import { IgnoreRules } from '../../packages/core/src/volume/ignore-rules.js';
import { checkTagName, checkVolumeName, normalizePath } from '../../packages/core/src/volume/paths.js';
import { resolveRef } from '../../packages/core/src/volume/resolve-ref.js';
import type { Dice } from './dice.js';
import { fuzz } from './fuzz.js';

// The command finds its version beside its bundle.
vi.mock('../../packages/cli/src/version.js', () => ({ version: () => '0.0.0' }));

const words = (...all: string[]): Buffer[] => all.map((text) => Buffer.from(text));
const PATHS = ['a', '/models/llama/config.json', 'ünï/cödé.bin', 'a/b/c/d', '..x/.y', 'a'.repeat(255), `${'d/'.repeat(300)}f`];
const STRANGE = words(
  '..',
  '../',
  '/./',
  '//',
  '\\',
  '\0',
  'C:',
  '\u202e',
  '\ud7ff',
  '.',
  ' ',
  '\n',
  'é',
  'e\u0301',
  'CON',
  '~',
  '@',
  ':/',
  'HEAD',
  '2026-01-31',
  'a'.repeat(300),
);

/** Unpaired surrogates are no bytes: they come from code units, now and then. */
function textOf(bytes: Buffer, dice: Dice | undefined): string {
  return dice?.oneIn(8) === true ? bytes.toString('utf16le') : bytes.toString('utf8');
}

describe('paths, names and references', () => {
  fuzz({
    name: 'path in a volume',
    share: 100,
    samples: words(...PATHS),
    tokens: STRANGE,
    check(bytes, dice) {
      const text = textOf(bytes, dice);
      const path = normalizePath(text);
      if (path === '') return;
      if (normalizePath(path) !== path) throw new Error('a path of two forms');
      if (/^\/|(^|\/)\.\.?(\/|$)|\/\/|\0|\\|\/$/.test(path)) throw new Error('a path that leads elsewhere');
      // What the API takes, manifests take.
      if (keyToPath(pathToKey(path)) !== path) throw new Error('no key of a path');
    },
    memory: { perByte: 64, fixed: 70_000 },
  });

  const id = 'ab'.repeat(32);
  const history = {
    tag: (name: string) => (name === 'v1' ? digestFromHex(id) : undefined),
    generationOf: (snapshot: Digest) => (snapshot[0] === 0xab ? 7 : undefined),
    byPrefix: (prefix: string) => (id.startsWith(prefix) ? [{ generation: 7, id: digestFromHex(id) }] : []),
    newestFirst: () => [7, 6].map((generation) => ({ generation, id: digestFromHex(id) })),
    record: () => ({ createdAtMs: Date.parse('2026-01-31T10:00:00Z') }),
  } as unknown as History;

  fuzz({
    name: 'name or reference',
    share: 60,
    samples: words(
      'models',
      'v1',
      'HEAD',
      'HEAD~1',
      'HEAD~',
      '2026-01-31',
      '2026-02-01T10:00:00Z',
      '2026-02-01 10:00',
      id,
      id.slice(0, 8),
      '_x.y-z',
    ),
    tokens: [...STRANGE, ...words('~', '99999999999999999999', 'T25:61', '+14:00', '02-30', 'abcdef')],
    check(bytes, dice) {
      const text = textOf(bytes, dice);
      const found = [() => checkVolumeName(text), () => checkTagName(text), () => void resolveRef(history, text)].map((judge) => {
        try {
          judge();
          return undefined;
        } catch (error) {
          if (!(error instanceof CairnError)) throw error;
          return error;
        }
      });
      // What a tag may be called is no other kind of reference.
      if (found[1] === undefined && text !== 'v1' && found[2] === undefined) throw new Error('a tag that is another reference');
      if (found.every((error) => error !== undefined)) throw found[0]!;
    },
    memory: { perByte: 32, fixed: 8000 },
  });

  fuzz({
    name: 'pattern of an ignore file',
    share: 20,
    samples: words('*.log\n!keep.log\n/build/\n**/cache\n', 'a?[bc]*\n# comment\n\\#x\n', 'x'),
    tokens: words('**', '*', '[', ']', '!', '\\', '/', '?', '{a,b}', '(', ')', '|', '+', '[[:alpha:]]', '[z-a]', '*a*a*a*a*a*a*a*b', '\n'),
    check(bytes, dice) {
      const rules = new IgnoreRules(textOf(bytes, dice).slice(0, 400).split('\n'));
      for (const path of ['a/b', 'keep.log', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaac', 'build/x']) rules.ignores(path, false);
      if (dice?.oneIn(5) === true) throw new CairnError('EINVAL', 'every fifth counts as refused: all text is a pattern', { hint: '-' });
    },
    memory: { perByte: 2000, fixed: 1 << 20 },
  });
});

/** Commands whose arguments are words in the store, or names in the folder that the test runs in. None that start another program. */
const COMMANDS = [
  'put',
  'get',
  'ls',
  'rm',
  'mv',
  'cp',
  'cat',
  'stat',
  'tensors',
  'log',
  'show',
  'diff',
  'tag',
  'rollback',
  'prune',
  'usage',
  'verify',
  'volume list',
  'volume info',
  'volume create',
  'volume rename',
  'volume delete',
  'volume fork',
  'status',
  'commit',
  'reload',
  'unmount',
];
const ARGUMENTS = [
  'models',
  'models@v1',
  'models@HEAD~1:/a',
  'models:/d',
  'nothing',
  '/a',
  'a',
  'd/',
  'local',
  'local/x',
  '-',
  '--',
  '--json',
  '-q',
  '-v',
  '-f',
  '-r',
  '-n',
  '-y',
  '--help',
  '--store',
  'store',
  '--meta',
  'k=v',
  '-m',
  'message',
  '--keep-last',
  '2',
  '--exclude',
  '*.x',
  '--tensors',
  '--exit-code',
  '-l',
  '-R',
  '-d',
  '',
  '@',
  ':',
  '@:/',
  'models@',
  '99',
  '--nonsense',
  '--json=1',
];
/** What commands begin with that may well work. */
const FIRST = ['models', 'models', 'models@v1', 'models:/a', 'models:/d', '-r', '--json'];
const LINES = COMMANDS.flatMap((command, i) =>
  [0, 1, 2].map((n) => Buffer.from([...command.split(' '), ...ARGUMENTS.slice(i, i + n)].join('\n'))),
);
const TOKENS = [...words(...ARGUMENTS.map((argument) => `\n${argument}`)), ...STRANGE];

/** Words of a command line; a NUL cannot be in one. Slashes lead to places in the volume only, never out of the folder. */
function lineOf(bytes: Buffer, dice: Dice | undefined): string[] {
  return textOf(bytes, dice)
    .replaceAll('\0', '0')
    .split('\n')
    .slice(0, 12)
    .map((word) => word.slice(0, 5000));
}

describe('the command line', () => {
  fuzz({
    name: 'place',
    share: 40,
    samples: words('llama', 'llama@v1', 'llama@HEAD~1:/config.json', 'llama@2026-01-31T10:00:00Z:/a:/b', 'v:/'),
    tokens: STRANGE,
    check(bytes, dice) {
      const text = textOf(bytes, dice);
      try {
        const { volume, ref, path } = parsePlace(text);
        if (`${volume}${ref === undefined ? '' : `@${ref}`}${path === undefined ? '' : `:${path}`}` !== text)
          throw new Error('another place');
        if (ref === undefined) onePath(parseTarget(text), undefined, '/');
      } catch (error) {
        throw typed(error);
      }
    },
    memory: { perByte: 64, fixed: 20_000 },
  });

  fuzz({
    name: 'words of the command',
    share: 5,
    samples: LINES,
    tokens: TOKENS,
    async check(bytes, dice) {
      let ran = false;
      const program = buildProgram(
        () => async () => void (ran = true),
        () => {},
      );
      try {
        await quietly(() => program.parseAsync(lineOf(bytes, dice), { from: 'user' }));
      } catch (error) {
        if (dice !== undefined) throw typed(error);
      }
      if (!ran && dice !== undefined) throw new CairnError('EINVAL', 'no command', { hint: '-' });
    },
    memory: { perByte: 2000, fixed: 1 << 20 },
  });

  const dir = fs.mkdtempSync(join(tmpdir(), 'cairn-fuzz-'));
  const store = join(dir, 'store');
  const before = { cwd: process.cwd(), store: process.env['CAIRN_STORE'] };
  beforeAll(async () => {
    const opened = await openStore(store, { workers: 1 });
    const volume = await opened.volumes.fromName('models', { createIfMissing: true });
    await volume.writeFile('a', 'some text');
    await volume.commit();
    await volume.tag('v1');
    await volume.writeFile('d/b', 'more text');
    await volume.commit();
    await opened.close();
    fs.mkdirSync(join(dir, 'work', 'local'), { recursive: true });
    fs.writeFileSync(join(dir, 'work', 'local', 'x'), 'x');
    process.chdir(join(dir, 'work'));
    process.env['CAIRN_STORE'] = store;
    // Each run listens to both; a process runs one command.
    for (const stream of [process.stdout, process.stderr]) stream.setMaxListeners(0);
  });
  afterAll(() => {
    process.chdir(before.cwd);
    process.env['CAIRN_STORE'] = before.store;
    fs.rmSync(dir, { recursive: true, force: true });
  });
  const documented = new Set<number>(Object.values(ExitCode));

  fuzz({
    name: 'command that runs',
    share: 1,
    samples: words(
      'ls\nmodels',
      'cat\nmodels:/a',
      'volume\nlist\n--json',
      'log\nmodels',
      'stat\nmodels@v1:/a',
      'diff\nmodels@v1',
      'usage',
      'put\n-f\nmodels\nlocal',
      'verify\n-q',
    ),
    tokens: TOKENS,
    reseal: (bytes, dice) =>
      dice.oneIn(2)
        ? bytes
        : Buffer.from(
            [
              ...dice.pick(COMMANDS).split(' '),
              ...dice.pick(FIRST),
              ...Array.from({ length: dice.below(4) }, () => dice.pick(ARGUMENTS)),
            ].join('\n'),
          ),
    async check(bytes, dice) {
      // Local names stay within the folder, and no program is started.
      const line = lineOf(bytes, dice).map((word) => word.replace(/^(--store=?|-C)?[/~].*|\.\./, '$1a').trimStart());
      if (['run', 'mount', 'repair', 'completion'].some((command) => line.includes(command))) line.splice(0, line.length, '--help');
      const { value: code, stderr } = await quietly(() => main(line));
      if (!documented.has(code)) throw new Error(`exit code ${code} of ${JSON.stringify(line)}`);
      if (!line.some((word) => /^-\w*v|--verbose/.test(word)) && /^\s+at .*:\d+:\d+/m.test(stderr))
        throw new Error(`a stack trace: ${stderr}`);
      if (code === ExitCode.failed && !/E[A-Z]{3,}|CAIRN_|hint/.test(stderr)) throw new Error(`failed without a reason: ${stderr}`);
      if (stderr.includes('UNEXPECTED') || stderr.includes('run it again with -v to see'))
        throw new Error(`${JSON.stringify(line)}: ${stderr}`);
      if (code !== 0 && code !== ExitCode.differs && code !== ExitCode.busy) throw new CairnError('EINVAL', stderr, { hint: '-' });
    },
    memory: { perByte: 1000, fixed: 1 << 28 },
  });
});

/** Commander's own errors end as wrong usage, with a hint; ours have a code and a hint. */
function typed(error: unknown): unknown {
  const { code, hint } = error as { code?: unknown; hint?: unknown };
  const isTyped = typeof code === 'string' && (code.startsWith('commander.') || typeof hint === 'string');
  return isTyped ? new CairnError('EINVAL', 'refused', { hint: '-' }) : error;
}

/** Keeps what a command prints off the terminal; returns its errors. */
async function quietly<T>(run: () => Promise<T>): Promise<{ value: T; stderr: string }> {
  const streams = [process.stdout, process.stderr];
  const originals = streams.map((stream) => stream.write);
  let stderr = '';
  streams.forEach((stream, i) => {
    stream.write = (chunk: string | Uint8Array, ...rest: unknown[]) => {
      if (i === 1) stderr += String(chunk);
      (rest.find((each) => typeof each === 'function') as (() => void) | undefined)?.();
      return true;
    };
  });
  try {
    return { value: await run(), stderr };
  } finally {
    streams.forEach((stream, i) => (stream.write = originals[i]!));
  }
}
