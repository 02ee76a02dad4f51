import { existsSync, mkdirSync, realpathSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { damageObject } from '../support/damage-object.js';
import { lines, RECENT, undoOf, useWorkplace } from './support/cairn.js';

const place = useWorkplace();

function volumes(): Promise<string[]> {
  return place.at.inStore(async (store) => (await store.volumes.list()).map(({ name }) => name));
}

describe('volumes', () => {
  test('create, list, info, rename, fork and delete do what they print', async () => {
    const { at } = place;
    expect((await at.ok('volume', 'create', 'models')).stdout).toBe(`created models in ${realpathSync(at.store)}\n`);
    writeFileSync(at.path('a.bin'), 'some weights');
    await at.ok('put', 'models', 'a.bin');
    const { head } = await at.json<{ head: string }>('volume', 'info', 'models');

    const list = lines((await at.ok('volume', 'list')).stdout);
    expect(list[0]).toMatch(/^NAME +HEAD +AGE +FILES +SIZE$/);
    expect(list[1]).toMatch(new RegExp(`^models +${head.slice(0, 12)} +${RECENT} +1 +12 B$`));

    const renamed = await at.ok('volume', 'rename', 'models', 'llama');
    expect(await volumes()).toEqual(['llama']);
    await at.ok(...undoOf(renamed));
    expect(await volumes()).toEqual(['models']);

    expect((await at.ok('volume', 'fork', 'models@HEAD', 'copy')).stdout).toContain('1 file, 12 B');
    expect(await at.tree('copy')).toEqual(await at.tree('models'));

    expect((await at.ok('volume', 'delete', 'models', '-y')).stdout).toBe('deleted models\n');
    expect(await volumes()).toEqual(['copy']);
    expect(await at.run(['volume', 'delete', 'models', '-y'])).toMatchObject({ code: 3 });
    await at.ok('volume', 'delete', 'models', '-y', '--allow-missing');
  });

  test('with --json each answers with a document of known shape', async () => {
    const { at } = place;
    expect(await at.json('volume', 'create', 'v')).toEqual({ name: 'v', store: realpathSync(at.store), created: true });
    expect(await at.json('volume', 'create', 'v', '--allow-existing')).toMatchObject({ name: 'v', created: false });
    const info = await at.json('volume', 'info', 'v');
    expect(info).toMatchObject({ name: 'v', head: null, generation: 0, files: 0, size: 0 });
    expect(new Date(info['createdAt'] as string).getTime()).toBeGreaterThan(Date.now() - 60_000);
    expect(await at.records('volume', 'list')).toEqual([info]);
    expect(await at.json('volume', 'rename', 'v', 'w')).toEqual({ from: 'v', to: 'w', undo: 'cairn volume rename w v' });
    expect(await at.json('volume', 'fork', 'w', 'x')).toMatchObject({ name: 'x', head: null });
    expect(await at.json('volume', 'delete', 'w', '-y')).toEqual({ name: 'w', deleted: true });
  });

  test('a damaged newest version is listed as such, and older ones stay within reach', async () => {
    const { at } = place;
    writeFileSync(at.path('a.bin'), 'some weights');
    await at.seed('hurt');
    await at.seed('whole');
    await at.ok('put', 'hurt', 'a.bin', '-m', 'first');
    await at.ok('put', 'hurt', 'a.bin', '/b.bin', '-m', 'second');
    const [head] = await at.ids('hurt');
    damageObject(at.store, head!);
    const list = lines((await at.ok('volume', 'list')).stdout);
    expect(list.slice(1)).toEqual([
      expect.stringMatching(new RegExp(`^hurt +${head!.slice(0, 12)} +- +damaged +-$`)),
      expect.stringMatching(/^whole +- +.* +0 +0 B$/),
    ]);
    expect(await at.json('volume', 'info', 'hurt')).toMatchObject({ head, files: null, size: null, damaged: true });
    expect(await at.run(['ls', 'hurt'])).toMatchObject({ code: 6, stdout: '' });
    expect((await at.ok('ls', 'hurt@HEAD~1')).stdout).toBe('a.bin\n');
    const log = await at.ok('log', 'hurt');
    expect(log.stdout).toContain('first');
    expect(log.stderr).toContain(`left snapshot ${head!.slice(0, 12)} out`);
    expect((await at.ok('log', 'hurt', '-q')).stderr).toBe('');
  });

  test('deleting without a terminal to ask at needs --yes, and deletes nothing', async () => {
    const { at } = place;
    await at.seed('v');
    const refused = await at.run(['volume', 'delete', 'v'], { input: 'y\n' });
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toContain('--yes');
    expect(await volumes()).toEqual(['v']);
  });

  test('-q prints no summaries', async () => {
    expect((await place.at.ok('volume', 'create', 'v', '-q')).stdout).toBe('');
    expect((await place.at.ok('-q', 'volume', 'delete', 'v', '-y')).stdout).toBe('');
  });
});

describe('the store is --store, else CAIRN_STORE, else the nearest .cairn upward', () => {
  const anywhere = { CAIRN_STORE: '' };

  test('only `volume create` makes one, at ./.cairn', async () => {
    const { at } = place;
    const missing = await at.run(['volume', 'list'], { env: anywhere });
    expect(missing).toMatchObject({ code: 3, stdout: '' });
    expect(missing.stderr).toMatch(/^cairn: no store here.*\n {2}hint: 'cairn volume create NAME' makes one/);
    expect(existsSync(at.path('.cairn'))).toBe(false);

    expect(await at.run(['volume', 'create', 'v'], { env: anywhere })).toMatchObject({ code: 0 });
    expect(existsSync(at.path('.cairn'))).toBe(true);
  });

  test('a folder below finds the store above, also when it creates a volume', async () => {
    const { at } = place;
    const deep = at.path('a', 'b');
    mkdirSync(deep, { recursive: true });
    await at.run(['volume', 'create', 'v'], { env: anywhere });
    expect(await at.run(['volume', 'create', 'w'], { env: anywhere, cwd: deep })).toMatchObject({ code: 0 });
    expect(existsSync(at.path('a', 'b', '.cairn'))).toBe(false);
    const found = await at.run(['volume', 'list', '--json'], { env: anywhere, cwd: deep });
    expect(lines(found.stdout)).toHaveLength(2);
  });

  test('--store wins over CAIRN_STORE, before and after the command, and is repeated in the undo command', async () => {
    const { at } = place;
    await at.seed('in-environment');
    const renamed = await at
      .ok('volume', 'create', 'v', '--store', 'other store')
      .then(() => at.ok('--store', 'other store', 'volume', 'rename', 'v', 'w'));
    expect(renamed.stdout).toContain("undo: cairn --store 'other store' volume rename w v\n");
    expect(await at.records('--store', 'other store', 'volume', 'list')).toMatchObject([{ name: 'w' }]);
    expect(await volumes()).toEqual(['in-environment']);
  });

  test('a store that is named but not there is not found, and not made', async () => {
    const { at } = place;
    expect(await at.run(['ls', 'v', '--store', 'nowhere'])).toMatchObject({ code: 3 });
    expect(existsSync(at.path('nowhere'))).toBe(false);
  });
});
