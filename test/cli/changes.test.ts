import { mkdirSync, writeFileSync } from 'node:fs';
import { beforeEach, describe, expect, test } from 'vitest';
import { undoOf, useWorkplace, type Result } from './support/cairn.js';

const place = useWorkplace();
const TREE = ['a', 'b', 'dir', 'dir/c'];
let entries: unknown[];

beforeEach(async () => {
  const { at } = place;
  mkdirSync(at.path('m', 'dir'), { recursive: true });
  for (const name of ['a', 'b', 'dir/c']) writeFileSync(at.path('m', name), `content of ${name}`);
  await at.seed('v', 'm');
  entries = await at.entries('v');
});

/** Runs the command that a change printed, and expects what was there before the change, contents included. */
async function expectUndone(change: Result): Promise<void> {
  const { at } = place;
  expect(change.stdout).toMatch(/^v@[0-9a-f]{12} {2}/);
  await at.ok(...undoOf(change));
  expect(await at.entries('v')).toEqual(entries);
}

describe('each change prints V@id and the command that undoes it', () => {
  test('rm', async () => {
    const { at } = place;
    const removed = await at.ok('rm', 'v', 'a', '/dir/', '-r');
    expect(removed.stdout).toContain('removed 2 files\n');
    expect(await at.tree('v')).toEqual(['b']);
    await expectUndone(removed);
  });

  test('mv to a new name, and into a folder', async () => {
    const { at } = place;
    const renamed = await at.ok('mv', 'v', 'a', 'x y');
    expect(await at.tree('v')).toEqual(['b', 'dir', 'dir/c', 'x y']);
    await expectUndone(renamed);
    const moved = await at.ok('mv', 'v', '/a', '/b', '/dir');
    expect(await at.tree('v')).toEqual(['dir', 'dir/a', 'dir/b', 'dir/c']);
    await expectUndone(moved);
    const made = await at.ok('mv', 'v', 'a', 'new folder/');
    expect(await at.tree('v')).toEqual(['b', 'dir', 'dir/c', 'new folder', 'new folder/a']);
    await expectUndone(made);
  });

  test('cp to a new name, into a folder, and of folders', async () => {
    const { at } = place;
    const copied = await at.ok('cp', 'v', 'a', 'a2');
    expect(await at.tree('v')).toEqual(['a', 'a2', 'b', 'dir', 'dir/c']);
    await expectUndone(copied);
    const into = await at.ok('cp', 'v', 'a', 'b', 'dir');
    expect(await at.tree('v')).toEqual(['a', 'b', 'dir', 'dir/a', 'dir/b', 'dir/c']);
    await expectUndone(into);
    expect(await at.run(['cp', 'v', 'dir', 'dir2'])).toMatchObject({ code: 2 });
    const folder = await at.ok('cp', 'v', 'dir', 'dir2', '-r');
    expect(await at.tree('v')).toEqual([...TREE, 'dir2', 'dir2/c']);
    await expectUndone(folder);
  });

  test('rollback, which itself can be rolled back', async () => {
    const { at } = place;
    await at.ok('rm', 'v', 'a');
    const back = await at.ok('rollback', 'v@HEAD~1');
    expect(await at.tree('v')).toEqual(TREE);
    await at.ok(...undoOf(back));
    expect(await at.tree('v')).toEqual(['b', 'dir', 'dir/c']);
    expect(await at.ids('v')).toHaveLength(4);
  });

  test('tag: a new one, a moved one, and a removed one', async () => {
    const { at } = place;
    const tags = (): Promise<unknown[]> =>
      at.inStore(async (store) => (await (await store.volumes.fromName('v')).tags()).map(({ name, snapshot }) => [name, snapshot]));
    const [first = ''] = await at.ids('v');
    const made = await at.ok('tag', 'v', 'good');
    expect(made.stdout).toMatch(new RegExp(`^v@${first.slice(0, 12)} {2}is good\n`));
    expect(await tags()).toEqual([['good', first]]);
    await at.ok(...undoOf(made));
    expect(await tags()).toEqual([]);

    await at.ok('tag', 'v', 'good');
    await at.ok('rm', 'v', 'a');
    expect(await at.run(['tag', 'v', 'good'])).toMatchObject({ code: 4 });
    const moved = await at.ok('tag', 'v', 'good', '--force');
    expect(await tags()).not.toEqual([['good', first]]);
    await at.ok(...undoOf(moved));
    expect(await tags()).toEqual([['good', first]]);

    const removed = await at.ok('tag', 'v', 'good', '-d');
    expect(await tags()).toEqual([]);
    await at.ok(...undoOf(removed));
    expect(await tags()).toEqual([['good', first]]);
  });
});

describe('cp between volumes and versions', () => {
  test('takes from another volume and from an old version, in one commit', async () => {
    const { at } = place;
    await at.ok('rm', 'v', 'a');
    await at.seed('w');
    await at.ok('cp', 'v@HEAD~1:/a', 'v:/dir', 'w:/from v/', '-r');
    expect(await at.tree('w')).toEqual(['from v', 'from v/a', 'from v/dir', 'from v/dir/c']);
    expect(await at.ids('w')).toHaveLength(1);
    await at.ok('cp', 'v', 'v@HEAD~1:/a', '/a');
    expect(await at.tree('v')).toEqual(TREE);
  });
});

describe('the documents of changes', () => {
  test('have the result of the commit and the undo command', async () => {
    const { at } = place;
    const removed = await at.json<{ snapshot: { id: string; parent: string }; undo: string }>('rm', 'v', 'a');
    expect(removed).toMatchObject({ volume: 'v', changed: true, added: 0, modified: 0, removed: 1, overwritten: [] });
    expect(removed.undo).toBe(`cairn rollback v@${removed.snapshot.parent.slice(0, 12)}`);
    expect(await at.json('mv', 'v', 'b', 'b2')).toMatchObject({ volume: 'v', changed: true });
    expect(await at.json('cp', 'v', 'b2', 'b3')).toMatchObject({ volume: 'v', changed: true, added: 1 });
    expect(await at.json('rollback', 'v@HEAD~3')).toMatchObject({ volume: 'v', changed: true });
    const tagged = await at.json('tag', 'v', 'one');
    expect(tagged).toMatchObject({ volume: 'v', name: 'one', previous: null, undo: 'cairn tag v one --delete' });
    expect(await at.json('tag', 'v', 'one', '-d')).toMatchObject({ name: 'one', snapshot: null, previous: tagged['snapshot'] });
  });
});
