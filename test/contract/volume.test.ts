import { ConflictError, type CommitOptions, type Conflict, type Volume } from '@cairn/core';
import { describe, expect, test } from 'vitest';
import { codeOf, collect, contents, expectSameBytes, newVolume, noise, temporaryStore, twoHandles, volumeV, writeAll } from './support.js';

describe('what a handle sees', () => {
  test('its own changes at once, those of others only after their commit and its own reload', async () => {
    const { f, g } = await twoHandles({ a: 'old' });
    await f.writeFile('a', 'new');
    await f.writeFile('d/b', 'added');
    expect(await contents(f)).toEqual({ a: 'new', 'd/b': 'added' });
    expect(await contents(g)).toEqual({ a: 'old' });
    const { snapshot } = await f.commit();
    expect(await contents(g)).toEqual({ a: 'old' });
    const { from, to } = await g.reload();
    expect([from?.generation, to]).toEqual([1, snapshot]);
    expect(await contents(g)).toEqual({ a: 'new', 'd/b': 'added' });
    expect([f.base, g.base]).toEqual([snapshot, snapshot]);
  });

  test('a handle opened later starts at the head', async () => {
    const { open, f } = await twoHandles();
    await f.writeFile('a', 'x');
    expect(await contents(await open())).toEqual({});
    await f.commit();
    expect(await contents(await open())).toEqual({ a: 'x' });
  });

  test('dirty tells whether there is something to commit', async () => {
    const { f } = await twoHandles({ a: 'old' });
    expect(f.dirty).toBe(false);
    await f.appendFile('a', '!');
    expect(f.dirty).toBe(true);
    await f.writeFile('a', 'old');
    expect(f.dirty).toBe(false);
    await f.mkdir('d');
    expect(f.dirty).toBe(true);
    await f.commit();
    expect(f.dirty).toBe(false);
  });

  test('disposing a handle never commits', async () => {
    const { store, name, open, f } = await twoHandles({ a: 'old' });
    await f.writeFile('a', 'lost');
    await f[Symbol.asyncDispose]();
    expect(await contents(await open())).toEqual({ a: 'old' });
    expect((await store.volumes.info(name)).generation).toBe(1);
  });
});

describe('commit', () => {
  test('without changes makes no snapshot and returns the head', async () => {
    const { store, name, f, g } = await twoHandles({ a: 'x' });
    const again = await f.commit();
    expect(again).toMatchObject({
      changed: false,
      added: 0,
      modified: 0,
      removed: 0,
      overwritten: [],
      bytes: { logical: 0, new: 0, stored: 0 },
      snapshot: { generation: 1 },
    });
    await g.writeFile('b', 'y');
    const { snapshot } = await g.commit();
    expect(await f.commit()).toMatchObject({ changed: false, snapshot });
    expect(await contents(f)).toEqual({ a: 'x', b: 'y' });
    expect((await store.volumes.info(name)).generation).toBe(2);
  });

  test('the first of a volume makes a snapshot even of nothing', async () => {
    const volume = await newVolume();
    expect(volume.base).toBe(null);
    expect(await volume.commit()).toMatchObject({ changed: true, snapshot: { generation: 1, parent: null, volume: volume.name } });
  });

  test('with a message or metadata makes a snapshot over an unchanged tree', async () => {
    const { f } = await twoHandles({ a: 'x' });
    const first = f.base;
    const { snapshot, changed } = await f.commit({ message: 'epoch 1' });
    expect([changed, snapshot.message, snapshot.parent, snapshot.generation]).toEqual([true, 'epoch 1', first?.id, 2]);
    const metadata = { loss: 0.25, step: 1000, best: true, name: 'é "quoted" \u{1f9ca}' };
    expect((await f.commit({ metadata })).snapshot).toMatchObject({ generation: 3, message: '', metadata });
    expect((await f.snapshot()).info.metadata).toEqual(metadata);
    expect(await collect(f.diff('HEAD~2'))).toEqual([]);
  });

  test('counts files and symlinks, and the bytes that are new', async () => {
    const { f } = await twoHandles({ same: 'same', old: 'old', gone: 'gone', 'd/e/gone': 'x' }, await temporaryStore());
    await f.writeFile('old', noise(10_000));
    await f.writeFile('new', 'same');
    await f.symlink('old', 'link');
    await f.remove('gone');
    await f.remove('d', { recursive: true });
    const result = await f.commit();
    expect(result).toMatchObject({ added: 2, modified: 1, removed: 2, bytes: { logical: 10_004, new: 10_000 } });
    expect(result.bytes.stored).toBeGreaterThan(10_000);
  });

  test('on a head that has moved merges, and stands on the result with the changes of both', async () => {
    const { f, g } = await twoHandles({ a: '1', b: '1', c: '1' });
    await f.writeFile('a', 'f');
    await f.remove('c');
    await f.commit();
    await g.writeFile('b', 'g');
    await g.writeFile('d/e', 'g');
    const { overwritten, snapshot } = await g.commit();
    expect([overwritten, snapshot.generation]).toEqual([[], 3]);
    expect(await contents(g)).toEqual({ a: 'f', b: 'g', 'd/e': 'g' });
    expect(g.dirty).toBe(false);
  });

  test('hundreds of small ones at the same time all finish and all are in history', async () => {
    const store = await temporaryStore();
    await (await volumeV(store)).commit();
    const handles = await Promise.all(Array.from({ length: 20 }, () => volumeV(store)));
    const results = await Promise.all(
      handles.map(async (handle, h) => {
        for (let i = 0; i < 15; i++) {
          await handle.writeFile(`${h}/${i}`, `${h} ${i}`);
          await handle.commit({ message: `${h} ${i}` });
        }
      }),
    );
    const head = await volumeV(store);
    const messages = (await collect(head.history())).map((info) => info.message);
    expect(messages).toHaveLength(1 + 15 * results.length);
    expect(new Set(messages).size).toBe(1 + 15 * results.length);
    expect((await head.listdir('', { recursive: true })).filter((entry) => entry.type === 'file')).toHaveLength(300);
    // Each handle's own commits are in the order in which it made them.
    expect(messages.filter((message) => message.startsWith('7 ')).reverse()).toEqual(Array.from({ length: 15 }, (_, i) => `7 ${i}`));
  });

  test('keeps edits made while it is running', async () => {
    const { open, f } = await twoHandles();
    await f.writeFile('big', noise(6 << 20));
    const committing = f.commit();
    await f.writeFile('during', 'kept');
    await f.appendFile('big', 'end');
    const { snapshot } = await committing;
    const committed = await contents(await f.snapshot(snapshot.id));
    expect(Object.keys(committed)).toContain('big');
    expect(await f.readFile('during', 'utf8')).toBe('kept');
    expectSameBytes(await f.readFile('big'), Buffer.concat([noise(6 << 20), Buffer.from('end')]));
    await f.commit();
    expect(Object.keys(await contents(await open()))).toEqual(['big', 'during']);
  });

  test('of a volume that was deleted meanwhile fails, and the changes are kept', async () => {
    const { store, name, f } = await twoHandles({ a: 'x' });
    await f.writeFile('a', 'mine');
    await store.volumes.delete(name);
    expect(await codeOf(f.commit())).toBe('CAIRN_VOLUME_NOT_FOUND');
    expect(await codeOf(f.reload())).toBe('CAIRN_VOLUME_NOT_FOUND');
    expect(await f.readFile('a', 'utf8')).toBe('mine');
    const other = await store.volumes.fromName('rescue', { createIfMissing: true });
    await other.copy('a', 'a', { from: f });
    await other.commit();
    expect(await contents(other)).toEqual({ a: 'mine' });
  });
});

describe('a path that two handles changed', () => {
  /** Both changed `a`, g also `b`; f has committed. */
  async function conflicting(): Promise<{ f: Volume; g: Volume }> {
    const { f, g } = await twoHandles({ a: 'base', b: 'base' });
    await f.writeFile('a', 'theirs');
    await f.commit();
    await g.writeFile('a', 'ours');
    await g.writeFile('b', 'ours');
    return { f, g };
  }

  test('last-write-wins: ours is at the head, the other version is named and stays in history', async () => {
    const { g } = await conflicting();
    const { overwritten } = await g.commit();
    expect(overwritten).toEqual(['a']);
    expect(await contents(g)).toEqual({ a: 'ours', b: 'ours' });
    expect(await (await g.snapshot('HEAD~1')).readFile('a', 'utf8')).toBe('theirs');
  });

  test("'fail': ConflictError names the paths, nothing is published, and the changes are kept", async () => {
    const { f, g } = await conflicting();
    const error: unknown = await g.commit({ onConflict: 'fail' }).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConflictError);
    expect((error as ConflictError).paths).toEqual(['a']);
    await f.reload();
    expect(await contents(f)).toEqual({ a: 'theirs', b: 'base' });
    expect(await contents(g)).toEqual({ a: 'ours', b: 'ours' });
    expect([g.dirty, g.base?.generation]).toEqual([true, 1]);
    await g.writeFile('a', 'theirs');
    expect(await g.commit({ onConflict: 'fail' })).toMatchObject({ overwritten: [], changed: true });
  });

  test.each(['ours', 'theirs'] as const)('a callback that answers %s decides, and is shown all three versions', async (answer) => {
    const { g } = await conflicting();
    const asked: Conflict[] = [];
    const { overwritten } = await g.commit({ onConflict: (conflict) => (asked.push(conflict), answer) });
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({ path: 'a', base: { path: 'a', type: 'file', size: 4 }, ours: { size: 4 }, theirs: { size: 6 } });
    expect(overwritten).toEqual(answer === 'ours' ? ['a'] : []);
    expect(await contents(g)).toEqual({ a: answer, b: 'ours' });
  });

  test('a callback is not asked where there is no conflict, and its error leaves everything as it was', async () => {
    const { f, g } = await conflicting();
    await f.reload();
    await f.writeFile('c', 'x');
    await f.commit({ onConflict: () => expect.fail('asked without need') });
    const broken: CommitOptions = {
      onConflict: () => {
        throw new Error('mine');
      },
    };
    await expect(g.commit(broken)).rejects.toThrow('mine');
    expect(await contents(g)).toEqual({ a: 'ours', b: 'ours' });
    expect((await g.commit()).overwritten).toEqual(['a']);
    expect(await contents(g)).toEqual({ a: 'ours', b: 'ours', c: 'x' });
  });

  test('in the same way is no conflict', async () => {
    const { f, g } = await twoHandles({ a: 'base', gone: 'x', 'd/gone': 'x' });
    for (const handle of [f, g]) {
      await handle.writeFile('a', 'same');
      await handle.writeFile('new', 'same');
      await handle.mkdir('empty');
      await handle.remove('gone');
      await handle.remove('d', { recursive: true });
      await handle.symlink('a', 'link');
    }
    await g.writeFile('only', 'g');
    await f.commit();
    expect(await g.commit({ onConflict: 'fail' })).toMatchObject({ overwritten: [], changed: true });
    expect(await contents(g)).toEqual({ a: 'same', empty: '/', link: '-> a', new: 'same', only: 'g' });
  });

  test('and all of it in the same way leaves nothing to commit', async () => {
    const { f, g } = await twoHandles();
    for (const handle of [f, g]) await handle.writeFile('a', 'same');
    const { snapshot } = await f.commit();
    expect(await g.commit()).toMatchObject({ changed: false, snapshot });
    expect(g.dirty).toBe(false);
  });

  test.each([true, false])('removed on one side, changed on the other (we remove: %s): ours wins, and is named', async (weRemove) => {
    const { f, g } = await twoHandles({ a: 'base' });
    const [remover, changer] = weRemove ? [g, f] : [f, g];
    await remover.remove('a');
    await changer.writeFile('a', 'changed');
    await f.commit();
    expect((await g.commit()).overwritten).toEqual(['a']);
    expect(await contents(g)).toEqual(weRemove ? {} : { a: 'changed' });
  });
});

describe('folders that two handles changed', () => {
  test.each([true, false])(
    'a file against a folder (ours is the file: %s): the losing side goes as a whole, all of it named',
    async (oursIsFile) => {
      const { f, g } = await twoHandles();
      const [file, folder] = oursIsFile ? [g, f] : [f, g];
      await file.writeFile('x', 'file');
      await writeAll(folder, { 'x/a': '1', 'x/d/b': '2' });
      await f.commit();
      const { overwritten } = await g.commit();
      if (oursIsFile) expect(overwritten).toEqual(expect.arrayContaining(['x/a', 'x/d/b']));
      else expect(overwritten).toEqual(['x']);
      expect(await contents(g)).toEqual(oursIsFile ? { x: 'file' } : { 'x/a': '1', 'x/d/b': '2' });
      expect(await contents(await g.snapshot('HEAD~1'))).toEqual(oursIsFile ? { 'x/a': '1', 'x/d/b': '2' } : { x: 'file' });
    },
  );

  test('a removed folder takes what its remover saw; what others added stays, with its folders', async () => {
    const { f, g } = await twoHandles({ 'd/seen': 'x', 'd/e/seen': 'x', 'd/h/seen': 'x' });
    await writeAll(f, { 'd/e/added': 'kept' });
    await f.commit();
    await g.remove('d', { recursive: true });
    expect(await contents(g)).toEqual({});
    expect((await g.commit()).overwritten).toEqual([]);
    expect(await contents(g)).toEqual({ 'd/e/added': 'kept' });
    expect((await g.stat('d/e')).type).toBe('directory');
    expect(await g.exists('d/h')).toBe(false);
  });

  test('a file moved to a folder that the other side removed brings the folder back', async () => {
    const { f, g } = await twoHandles({ 'd/a': 'x', b: 'moved' });
    await f.remove('d', { recursive: true });
    await f.commit();
    await g.rename('b', 'd/b');
    expect((await g.commit()).overwritten).toEqual([]);
    expect(await contents(g)).toEqual({ 'd/b': 'moved' });
  });
});

describe('reload', () => {
  test('keeps own changes on top of the new base, and never commits', async () => {
    const { store, name, f, g } = await twoHandles({ a: '1', b: '1', c: '1' });
    await writeAll(f, { a: 'f', b: 'f' });
    await f.commit();
    await writeAll(g, { b: 'g', d: 'g' });
    await g.remove('c');
    await g.reload();
    expect(await contents(g)).toEqual({ a: 'f', b: 'g', d: 'g' });
    expect([g.dirty, (await store.volumes.info(name)).generation]).toEqual([true, 2]);
    // The conflict over b was settled by the reload: the commit is on top of what it has seen.
    expect(await g.commit({ onConflict: 'fail' })).toMatchObject({ changed: true });
  });

  test('discard drops own changes and brings in those of others', async () => {
    const { f, g } = await twoHandles({ a: '1', b: '1' });
    await f.writeFile('a', 'f');
    await f.commit();
    await g.writeFile('b', 'g');
    await g.appendFile('log', 'line');
    await g.remove('a');
    await g.reload({ discard: true });
    expect(await contents(g)).toEqual({ a: 'f', b: '1' });
    expect(g.dirty).toBe(false);
  });

  test('follows a volume whose name was changed, and tells its new name', async () => {
    const { store, name, f, g } = await twoHandles({ a: 'x' });
    await store.volumes.rename(name, `${name}-renamed`);
    await f.writeFile('b', 'y');
    expect((await f.commit()).snapshot.volume).toBe(`${name}-renamed`);
    expect((await g.reload()).to?.volume).toBe(`${name}-renamed`);
    expect(await contents(await store.volumes.fromName(`${name}-renamed`))).toEqual({ a: 'x', b: 'y' });
  });
});

describe('whoever reads', () => {
  const first = noise(3 << 20, 1);
  const second = noise(3 << 20, 2);

  test('goes on with the version that it began on, through overwrites, removals, commits and reloads', async () => {
    const { f, g } = await twoHandles();
    await f.writeFile('a', first);
    const staged = f.createReadStream('a');
    await f.commit();
    const snapshot = await f.snapshot();
    const [stream, handle] = [f.createReadStream('a'), await f.open('a')];
    const head = new Uint8Array(1000);
    await handle.read(head);
    await f.writeFile('a', second);
    await f.commit();
    await f.remove('a');
    await f.commit();
    await g.writeFile('other', 'x');
    await g.commit();
    await f.reload();
    for (const bytes of [staged, stream]) expectSameBytes(Buffer.concat(await collect(bytes)), first);
    const rest = new Uint8Array(first.length);
    const { bytesRead } = await handle.read(rest);
    expectSameBytes(Buffer.concat([head, rest.subarray(0, bytesRead)]), first);
    expectSameBytes(await snapshot.readFile('a'), first);
    expect(await f.exists('a')).toBe(false);
  });

  test('of uncommitted data goes on with it even when it is replaced, discarded, or the handle is closed', async () => {
    const volume = await newVolume();
    await volume.writeFile('a', first);
    const streams = [volume.createReadStream('a'), volume.createReadStream('a'), volume.createReadStream('a')];
    await volume.writeFile('a', second);
    expectSameBytes(Buffer.concat(await collect(streams[0]!)), first);
    await volume.reload({ discard: true });
    expectSameBytes(Buffer.concat(await collect(streams[1]!)), first);
    await volume.close();
    expectSameBytes(Buffer.concat(await collect(streams[2]!)), first);
  });

  test('is not hindered by a commit under way', async () => {
    const { f } = await twoHandles({ a: 'kept' });
    await f.writeFile('big', noise(9 << 20));
    let done = false;
    const committing = f.commit().finally(() => (done = true));
    let reads = 0;
    while (!done) {
      expect(await f.readFile('a', 'utf8')).toBe('kept');
      expect((await f.listdir('')).map((entry) => entry.path)).toEqual(['a', 'big']);
      reads++;
    }
    await committing;
    expect(reads).toBeGreaterThan(0);
  });

  test('a listing shows one moment, whatever is changed while it goes on', async () => {
    const volume = await newVolume();
    for (let i = 0; i < 5000; i++) await volume.writeFile(`d/${String(i).padStart(4, '0')}`, '');
    const listing = volume.iterdir('d')[Symbol.asyncIterator]();
    await listing.next();
    await volume.remove('d', { recursive: true });
    await volume.commit();
    let count = 1;
    while ((await listing.next()).done !== true) count++;
    expect(count).toBe(5000);
  });
});
