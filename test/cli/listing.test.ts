import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { beforeAll, describe, expect, test } from 'vitest';
import { BIN, finished, lines, noise, useWorkplace } from './support/cairn.js';

const place = useWorkplace('shared');
const WEIGHTS = noise('weights', 500_001);

beforeAll(async () => {
  const { at } = place;
  mkdirSync(at.path('m', 'sub'), { recursive: true });
  writeFileSync(at.path('m', 'weights.bin'), WEIGHTS);
  writeFileSync(at.path('m', 'two words'), '12345');
  writeFileSync(at.path('m', 'sub', 'größe'), '');
  symlinkSync('weights.bin', at.path('m', 'link'));
  await at.seed('v', 'm');
});

describe('ls', () => {
  test('piped, it prints bare paths, one a line', async () => {
    const { at } = place;
    expect((await at.ok('ls', 'v')).stdout).toBe('link\nsub\ntwo words\nweights.bin\n');
    expect((await at.ok('ls', 'v', '-R')).stdout.split('\n')).toContain('sub/größe');
    for (const args of [['v', 'sub'], ['v', '/sub/'], ['v:/sub'], ['v@HEAD:/sub/']])
      expect((await at.ok('ls', ...args)).stdout).toBe('sub/größe\n');
  });

  test('a file lists itself', async () => {
    expect((await place.at.ok('ls', 'v', 'two words')).stdout).toBe('two words\n');
  });

  test('-l prints the table with exact sizes, without colours when piped', async () => {
    const table = lines((await place.at.ok('ls', 'v', '-l')).stdout);
    expect(table[0]).toMatch(/^TYPE +SIZE +MODIFIED +PATH$/);
    expect(table.slice(1)).toEqual([
      expect.stringMatching(/^link +\d+ +[\d-]+ [\d:]+ +link → weights\.bin$/),
      expect.stringMatching(/^dir +- +[\d-]+ [\d:]+ +sub\/$/),
      expect.stringMatching(/^file +5 +[\d-]+ [\d:]+ +two words$/),
      expect.stringMatching(/^file +500001 +[\d-]+ [\d:]+ +weights\.bin$/),
    ]);
  });

  test('--json prints one entry a line', async () => {
    const entries = await place.at.records('ls', 'v');
    expect(entries).toMatchObject([
      { path: 'link', type: 'symlink', symlinkTarget: 'weights.bin' },
      { path: 'sub', type: 'directory' },
      { path: 'two words', type: 'file', size: 5, executable: false, contentId: expect.any(String) as string },
      { path: 'weights.bin', type: 'file', size: WEIGHTS.length },
    ]);
  });

  test.runIf(existsSync('/usr/bin/script'))('a terminal gets a table in colours, and NO_COLOR leaves them out', () => {
    const onTerminal = (env: Record<string, string>): string =>
      execFileSync('/usr/bin/script', ['-qec', `'${process.execPath}' '${BIN}' ls v`, '/dev/null'], {
        env: { PATH: process.env['PATH'], TERM: 'xterm', CAIRN_STORE: place.at.store, ...env },
      }).toString();
    expect(onTerminal({})).toContain('\u001b[34msub/');
    expect(onTerminal({ NO_COLOR: '1' })).toMatch(/^TYPE +SIZE +MODIFIED +PATH\r\n/);
    expect(onTerminal({ NO_COLOR: '1' })).not.toContain('\u001b');
  });

  test('a reader that goes away early is no error', async () => {
    const child = place.at.start(['cat', 'v', 'weights.bin']);
    child.stdout?.destroy();
    expect(await finished(child)).toMatchObject({ code: 0, stderr: '' });
  });
});

describe('stat', () => {
  test('prints fields', async () => {
    const { stdout } = await place.at.ok('stat', 'v', 'two words');
    expect(stdout).toMatch(/^path: +two words\ntype: +file\nsize: +5 B \(5 bytes\)\nmodified: +.*\ncontent: +\S+\n$/);
    expect((await place.at.ok('stat', 'v:/link')).stdout).toMatch(/type: +symlink\ntarget: +weights\.bin\n/);
  });

  test('--json prints one entry, and its chunks cover the file without gaps', async () => {
    const { at } = place;
    const plain = await at.json('stat', 'v', 'weights.bin');
    expect(plain).toMatchObject({ path: 'weights.bin', type: 'file', size: WEIGHTS.length });
    expect(plain).not.toHaveProperty('chunks');
    const { chunks } = await at.json<{
      chunks: { offset: number; length: number; digest: string; encoding: string; storedLength: number }[];
    }>('stat', 'v', 'weights.bin', '--chunks');
    let end = 0;
    for (const chunk of chunks) {
      expect(chunk).toMatchObject({
        offset: end,
        digest: expect.stringMatching(/^[0-9a-f]{64}$/) as string,
        encoding: expect.stringMatching(/^(raw|zstd)$/) as string,
      });
      expect(chunk.storedLength).toBeGreaterThan(0);
      end += chunk.length;
    }
    expect(chunks.length).toBeGreaterThan(1);
    expect(end).toBe(WEIGHTS.length);
    const text = lines((await at.ok('stat', 'v', 'weights.bin', '--chunks')).stdout);
    expect(text.slice(-chunks.length).map((line) => line.trim().split(/ +/)[4])).toEqual(chunks.map((chunk) => chunk.digest));
  });
});
