import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { IgnoreRules } from '../../packages/core/src/volume/ignore-rules.js';
import { localTree } from '../../packages/core/src/volume/local-files.js';
import { tempDir } from '../support/temp-dir.js';
import { codeOf, contents, newVolume } from './support.js';

/** What is in the folders of every tree: names that mean something in patterns, too. ASCII, since a `?` of git is a byte, and ours a character. */
const NAMES = ['a', 'ab', 'b', 'B', 'a.txt', 'x y', '#c', '!d', '[e]', 'a*', 'f?', '...', '.h', 'tail '];
const FOLDERS = ['', 'a', 'b', 'a/b', 'a/[e]', 'b/x y', 'b/x y/a', 'deep/a/b', 'deep'];

/** A folder with all of these names in each folder, as files where they are not folders. */
function makeTree(ignoreFiles: Record<string, string>): string {
  const root = tempDir();
  for (const folder of FOLDERS) mkdirSync(join(root, folder), { recursive: true });
  for (const folder of FOLDERS)
    for (const name of NAMES) {
      const isFolder = FOLDERS.some((other) => `${other}/`.startsWith(`${folder === '' ? '' : `${folder}/`}${name}/`));
      if (!isFolder) writeFileSync(join(root, folder, name), '');
    }
  for (const [folder, text] of Object.entries(ignoreFiles)) writeFileSync(join(root, folder, '.cairnignore'), text);
  execFileSync('git', ['init', '-q', root]);
  return root;
}

/** The files that git would add. */
function keptByGit(root: string, patterns: string[]): string[] {
  const options = ['--others', '-z', '--exclude-per-directory=.cairnignore', ...patterns.flatMap((pattern) => ['-x', pattern])];
  const output = execFileSync('git', ['-c', 'core.excludesFile=/dev/null', 'ls-files', ...options], { cwd: root, maxBuffer: 1 << 26 });
  return output.toString().split('\0').filter((path) => path !== '').sort(); // prettier-ignore
}

async function keptByUs(root: string, patterns: string[]): Promise<string[]> {
  const kept: string[] = [];
  for await (const entries of localTree(root, '', patterns, () => undefined))
    for (const { remotePath, type } of entries) if (type !== 'directory' && !remotePath.startsWith('.git/')) kept.push(remotePath);
  return kept.sort();
}

const piece = fc.constantFrom(
  'a',
  'b',
  'ab',
  'x y',
  'deep',
  '*',
  '?',
  '**',
  '[ab]',
  '[!a]',
  '\\*',
  '\\#c',
  '\\[e\\]',
  '.*',
  'a*',
  '*.txt',
  'B',
  'tail\\ ',
);
const pattern = fc
  .tuple(
    fc.constantFrom('', '', '', '!'),
    fc.constantFrom('', '', '/'),
    fc.array(piece, { minLength: 1, maxLength: 3 }),
    fc.constantFrom('', '', '/', '/**', ' ', '/*'),
  )
  .map(([negation, start, pieces, end]) => `${negation}${start}${pieces.join('/')}${end}`);
const line = fc.oneof(
  { weight: 8, arbitrary: pattern },
  { weight: 1, arbitrary: fc.constantFrom('', '# comment', '#c', '\\#c', '\\!d', '!', '/', '   ') },
);
const ignoreFiles = fc.dictionary(
  fc.constantFrom(...FOLDERS),
  fc.tuple(fc.array(line, { maxLength: 4 }), fc.constantFrom('\n', '\r\n')).map(([lines, end]) => lines.join(end)),
  { maxKeys: 4 },
);

describe('ignore files', () => {
  test('leave out what git leaves out: nested files, negation, anchors, and patterns of the caller', async () => {
    await fc.assert(
      fc.asyncProperty(
        ignoreFiles,
        fc.array(
          pattern.filter((text) => text.trim() === text),
          { maxLength: 2 },
        ),
        async (files, patterns) => {
          const root = makeTree(files);
          expect(await keptByUs(root, patterns)).toEqual(keptByGit(root, patterns));
        },
      ),
      { numRuns: Number(process.env['CAIRN_TEST_RUNS'] ?? 60) },
    );
  });

  test.each<[string, Record<string, string>, string[]]>([
    ['a byte order mark', { '': '\ufeff/a/\n' }, []],
    ['what a deeper file wants back', { '': '*.txt\nb', a: '!a.txt\n!b\n' }, []],
    ['what nobody can want back: it lies in a folder that is left out', { '': 'deep/\n', 'deep/a': '!b\n' }, []],
    ['a folder whose name is a pattern', { 'a/[e]': '/ab\nB\n', 'b/x y': 'a/\n' }, []],
    ['everything but one kind', { '': '*\n!*/\n!*.txt\n' }, []],
    ['what the caller says, before all files', { '': '!ab\n', a: '!ab\n' }, ['ab', '!/a/b/ab']],
    ['capital letters', { '': 'B\n' }, []],
  ])('%s, as git', async (_what, files, patterns) => {
    const root = makeTree(files);
    const kept = await keptByUs(root, patterns);
    expect(kept).toEqual(keptByGit(root, patterns));
    expect(kept.length).toBeGreaterThan(3);
  });

  test('are honoured by putDirectory, and stored themselves', async () => {
    const root = tempDir();
    const files: Record<string, string> = {
      '.cairnignore': '*.tmp\n/cache/\n',
      'sub/.cairnignore': '!keep.tmp\n',
      'sub/keep.tmp': '1',
      'sub/x.tmp': '',
      'cache/c': '',
      w: '2',
      'sub/cache/c': '3',
    };
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    const volume = await newVolume();
    await volume.batchUpload((batch) => batch.putDirectory(root, 'in/here', { ignore: ['w'] }));
    expect(await contents(volume)).toEqual({
      'in/here/.cairnignore': files['.cairnignore'],
      'in/here/sub/.cairnignore': files['sub/.cairnignore'],
      'in/here/sub/keep.tmp': '1',
      'in/here/sub/cache/c': '3',
    });
  });

  test('that are folders or symlinks hold no patterns, and one that is huge is refused', async () => {
    const root = tempDir();
    mkdirSync(join(root, 'd', '.cairnignore'), { recursive: true });
    writeFileSync(join(root, 'd', 'a'), 'a');
    writeFileSync(join(root, 'patterns'), '*');
    symlinkSync('patterns', join(root, '.cairnignore'));
    const volume = await newVolume();
    await volume.batchUpload((batch) => batch.putDirectory(root, '/'));
    expect(await contents(volume)).toEqual({ '.cairnignore': '-> patterns', 'd/.cairnignore': '/', 'd/a': 'a', patterns: '*' });
    writeFileSync(join(root, 'd', '.cairnignore', '.cairnignore'), '');
    truncateSync(join(root, 'd', '.cairnignore', '.cairnignore'), (1 << 20) + 1);
    expect(await codeOf(volume.batchUpload((batch) => batch.putDirectory(root, '/', {}), { force: true }))).toBe('CAIRN_INVALID_ARGUMENT');
  });

  test('of a root and its folders make rules that do not change each other', () => {
    const root = new IgnoreRules(['*.log']).within('', 'b\n');
    const inA = root.within('a', '!b\nc\n');
    expect([root.ignores('a/b', false), inA.ignores('a/b', false)]).toEqual([true, false]);
    expect([root.ignores('a/c', false), inA.ignores('a/c', false), inA.ignores('c', false)]).toEqual([false, true, false]);
    expect([inA.ignores('a/x.log', false), new IgnoreRules().ignores('b', true)]).toEqual([true, false]);
  });
});
