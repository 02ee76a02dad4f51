import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { noise, useWorkplace } from './support/cairn.js';

const place = useWorkplace();
/** Over the size of one chunk, and not a multiple of anything. */
const WEIGHTS = noise('weights', 3_000_017);

beforeEach(async () => {
  await place.at.seed('v');
});

/** A folder with what folders have in them. */
function makeFolder(name: string): void {
  const { at } = place;
  mkdirSync(at.path(name, 'sub folder', 'empty'), { recursive: true });
  writeFileSync(at.path(name, 'model.bin'), WEIGHTS);
  writeFileSync(at.path(name, 'sub folder', 'größe ✓.txt'), 'unicode');
  writeFileSync(at.path(name, 'run.sh'), '#!/bin/sh\n');
  chmodSync(at.path(name, 'run.sh'), 0o755);
  symlinkSync('model.bin', at.path(name, 'latest'));
}

describe('put and get give back the same bytes', () => {
  test('a file, under its own name and under a new one', async () => {
    const { at } = place;
    writeFileSync(at.path('model.bin'), WEIGHTS);
    const stored = await at.ok('put', 'v', 'model.bin', '-m', 'first');
    expect(stored.stdout).toMatch(/^v@[0-9a-f]{12} {2}1 file, 2\.86 MiB, 2\.86 MiB new, [\d.]+ s\n$/);
    await at.ok('put', 'v', at.path('model.bin'), '/some/where/else.bin');
    expect(await at.tree('v')).toEqual(['model.bin', 'some', 'some/where', 'some/where/else.bin']);

    const got = await at.ok('get', 'v', 'model.bin', 'new name.bin');
    expect(got.stdout).toMatch(/^v@[0-9a-f]{12} {2}1 file, 2\.86 MiB, .*\/s → new name\.bin\n$/);
    mkdirSync(at.path('into'));
    await at.ok('get', 'v:/some/where/else.bin', 'into');
    for (const path of ['new name.bin', 'into/else.bin']) expect(readFileSync(at.path(path)).equals(WEIGHTS)).toBe(true);
  });

  test('a folder, with empty folders, links, the executable bit and unicode names', async () => {
    const { at } = place;
    makeFolder('my model');
    await at.ok('put', 'v', 'my model', '/');
    const paths = ['latest', 'model.bin', 'run.sh', 'sub folder', 'sub folder/empty', 'sub folder/größe ✓.txt'].map(
      (path) => `my model/${path}`,
    );
    expect(await at.tree('v')).toEqual(['my model', ...paths]);

    await at.ok('get', 'v', '/my model', 'back');
    expect(readdirSync(at.path('back'), { recursive: true }).sort()).toEqual(readdirSync(at.path('my model'), { recursive: true }).sort());
    expect(readFileSync(at.path('back', 'latest')).equals(WEIGHTS)).toBe(true);
    expect(statSync(at.path('back', 'run.sh')).mode & 0o111).not.toBe(0);
    expect(statSync(at.path('back', 'model.bin')).mode & 0o111).toBe(0);
  });

  test('the root goes into a folder that is there, or under a new name', async () => {
    const { at } = place;
    makeFolder('m');
    await at.ok('put', 'v', 'm/.', '/');
    const expected = readdirSync(at.path('m')).sort();
    await at.ok('get', 'v', '/', 'fresh');
    expect(readdirSync(at.path('fresh')).sort()).toEqual(expected);
    mkdirSync(at.path('there'));
    await at.ok('get', 'v', '/', 'there');
    expect(readdirSync(at.path('there')).sort()).toEqual(expected);
    expect(await at.run(['get', 'v', '/', 'there'])).toMatchObject({ code: 4 });
  });

  test('standard input and standard output, byte for byte', async () => {
    const { at } = place;
    expect(await at.run(['put', 'v', '-', '/from stdin.bin'], { input: WEIGHTS })).toMatchObject({ code: 0 });
    for (const args of [
      ['get', 'v', '/from stdin.bin', '-'],
      ['cat', 'v', '/from stdin.bin'],
      ['cat', 'v@HEAD:/from stdin.bin', '--json'],
    ]) {
      const { bytes, stderr } = await at.ok(...args);
      expect([bytes.equals(WEIGHTS), stderr]).toEqual([true, '']);
    }
    expect(await at.run(['put', 'v', '-', '/empty'], { input: '' })).toMatchObject({ code: 0 });
    expect((await at.ok('cat', 'v', '/empty')).bytes).toHaveLength(0);
  });

  test('an old version is what it was', async () => {
    const { at } = place;
    writeFileSync(at.path('f'), 'one');
    await at.ok('put', 'v', 'f');
    writeFileSync(at.path('f'), 'two');
    await at.ok('put', 'v', 'f', '-f');
    expect((await at.ok('cat', 'v@HEAD~1', 'f')).stdout).toBe('one');
    expect((await at.ok('get', 'v@HEAD~1:/f', '-')).stdout).toBe('one');
    expect((await at.ok('cat', 'v', 'f')).stdout).toBe('two');
  });
});

describe('put', () => {
  test('-t takes several files and folders at once, as one version', async () => {
    const { at } = place;
    for (const name of ['a.bin', 'b.bin']) writeFileSync(at.path(name), name);
    mkdirSync(at.path('c'));
    writeFileSync(at.path('c', 'd.bin'), 'd');
    await at.ok('put', 'v', '-t', 'weights', 'a.bin', 'b.bin', 'c');
    expect(await at.tree('v')).toEqual(['weights', 'weights/a.bin', 'weights/b.bin', 'weights/c', 'weights/c/d.bin']);
    expect(await at.ids('v')).toHaveLength(1);
  });

  test('the document tells what was stored, with message and typed metadata', async () => {
    const { at } = place;
    writeFileSync(at.path('f'), WEIGHTS);
    const result = await at.json(
      'put',
      'v',
      'f',
      '-m',
      'step 1',
      '--meta',
      'loss=0.25',
      '--meta',
      'note=a=b',
      '--meta',
      'best=true',
      '--meta',
      'id=0x10',
    );
    expect(result).toMatchObject({
      volume: 'v',
      changed: true,
      added: 1,
      modified: 0,
      removed: 0,
      overwritten: [],
      bytes: { logical: WEIGHTS.length, new: WEIGHTS.length },
      snapshot: {
        volume: 'v',
        generation: 1,
        parent: null,
        message: 'step 1',
        metadata: { loss: 0.25, note: 'a=b', best: true, id: '0x10' },
      },
    });
    expect(result).not.toHaveProperty('undo');
  });

  test('an existing path needs -f, unless it has the same content', async () => {
    const { at } = place;
    writeFileSync(at.path('f'), 'one');
    await at.ok('put', 'v', 'f');
    expect((await at.ok('put', 'v', 'f')).stdout).toMatch(/^v@[0-9a-f]{12} {2}nothing changed\n$/);
    writeFileSync(at.path('f'), 'two');
    const refused = await at.run(['put', 'v', 'f']);
    expect(refused).toMatchObject({ code: 4, stdout: '' });
    expect(refused.stderr).toMatch(/^cairn: .*f.*\n {2}hint: .*-f/);
    expect((await at.ok('cat', 'v', 'f')).stdout).toBe('one');
    expect(await at.json('put', 'v', 'f', '-f')).toMatchObject({ added: 0, modified: 1 });
  });

  test('--exclude and .cairnignore leave out what matches', async () => {
    const { at } = place;
    makeFolder('m');
    await at.ok('put', 'v', 'm', '--exclude', '*.bin', '--exclude', 'sub folder/');
    expect(await at.tree('v')).toEqual(['m', 'm/latest', 'm/run.sh']);
    writeFileSync(at.path('m', '.cairnignore'), '*.sh\nlatest\n');
    await at.ok('put', 'v', 'm', '/n', '--exclude', '!latest', '--exclude', '*.bin', '--exclude', 'sub folder/');
    expect((await at.tree('v')).filter((path) => path.startsWith('n'))).toEqual(['n', 'n/.cairnignore', 'n/latest']);
  });

  test('what is in the store already is not new', async () => {
    const { at } = place;
    writeFileSync(at.path('f'), WEIGHTS);
    await at.ok('put', 'v', 'f');
    await at.seed('w');
    expect(await at.json('put', 'w', 'f')).toMatchObject({ bytes: { logical: WEIGHTS.length, new: 0 } });
  });

  test('works by the name that `modal volume` has for it, as get, ls, rm and cp do', async () => {
    const { at } = place;
    writeFileSync(at.path('f'), 'x');
    await at.ok('volume', 'put', 'v', 'f', '/a/');
    await at.ok('volume', 'cp', 'v', '/a/f', '/a/g');
    await at.ok('volume', 'rm', 'v', '/a/f');
    expect((await at.ok('volume', 'ls', 'v', '/a')).stdout).toBe('a/g\n');
    await at.ok('volume', 'get', 'v', '/a/g', 'back');
    expect(readFileSync(at.path('back'), 'utf8')).toBe('x');
  });
});

describe('get', () => {
  test('a local file that is there needs -f', async () => {
    const { at } = place;
    writeFileSync(at.path('f'), 'stored');
    await at.ok('put', 'v', 'f');
    writeFileSync(at.path('f'), 'local');
    expect(await at.run(['get', 'v', 'f'])).toMatchObject({ code: 4 });
    expect(readFileSync(at.path('f'), 'utf8')).toBe('local');
    await at.ok('get', 'v', 'f', '-f');
    expect(readFileSync(at.path('f'), 'utf8')).toBe('stored');
  });

  test('the document tells what came where', async () => {
    const { at } = place;
    makeFolder('m');
    const { snapshot } = await at.json<{ snapshot: { id: string } }>('put', 'v', 'm');
    const got = await at.json<{ local: string; seconds: number }>('get', 'v', 'm', 'out');
    expect(got).toMatchObject({
      volume: 'v',
      snapshot: snapshot.id,
      path: 'm',
      local: 'out',
      bytes: WEIGHTS.length + 'unicode'.length + 10,
    });
    expect(got.seconds).toBeGreaterThan(0);
    expect(basename(got.local)).toBe('out');
  });

  test('what is not there leaves nothing behind', async () => {
    const { at } = place;
    expect(await at.run(['get', 'v', 'nothing', 'out'])).toMatchObject({ code: 3 });
    expect(existsSync(at.path('out'))).toBe(false);
  });
});
