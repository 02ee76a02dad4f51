import { SnapshotNotFoundError, type Change, type Snapshot, type Store, type Volume } from '@cairn/core';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { resolveRef } from '../../packages/core/src/volume/resolve-ref.js';
import { codeOf, collect, contents, failure, newVolume, noise, temporaryStore, twoHandles, volumeV, writeAll } from './support.js';

const DAY_MS = 86_400_000;
const START = Date.parse('2026-01-30T12:00:00.000Z');

/** Five commits, one a day, that write their number to `a`; the third also writes `b`. */
async function fiveDays(): Promise<{ store: Store; volume: Volume; ids: string[] }> {
  let day = 0;
  const store = await temporaryStore({ clock: () => new Date(START + day * DAY_MS) });
  const volume = await volumeV(store);
  const ids: string[] = [];
  for (; day < 5; day++) {
    await volume.writeFile('a', String(day));
    if (day === 2) await volume.writeFile('d/b', 'b');
    ids.push((await volume.commit({ message: `day ${day}` })).snapshot.id);
  }
  return { store, volume, ids };
}

const read = async (volume: Volume, ref?: string | Date): Promise<string> => (await volume.snapshot(ref)).readFile('a', 'utf8');

describe('refs', () => {
  test('HEAD, steps back, tags, ids, prefixes and dates all lead to their snapshot', async () => {
    const { volume, ids } = await fiveDays();
    await volume.tag('release', 'HEAD~3');
    const expected: [string | Date | undefined, number][] = [
      [undefined, 4], ['HEAD', 4], ['HEAD~0', 4], ['HEAD~', 3], ['HEAD~1', 3], ['HEAD~4', 0], ['release', 1],
      [ids[2], 2], [ids[2]!.slice(0, 6), 2], [ids[3]!.slice(0, 63), 3],
      ['2026-01-30', 0], ['2026-02-01', 2], ['2030-01-01', 4],
      ['2026-01-31T12:00:00Z', 1], ['2026-01-31T11:59:59.999Z', 0], ['2026-01-31 12:00Z', 1], ['2026-01-31T14:00:00+02:00', 1], ['2026-01-31T13:59:59+02:00', 0],
      [new Date(START + 3 * DAY_MS), 3], [new Date(START + 3 * DAY_MS - 1), 2], [new Date(8.64e15), 4],
    ]; // prettier-ignore
    for (const [ref, day] of expected) expect([ref, await read(volume, ref)]).toEqual([ref, String(day)]);
  });

  test('that lead nowhere are SnapshotNotFoundError', async () => {
    const { volume, ids } = await fiveDays();
    const absent = ids.includes('f'.repeat(64)) ? 'e' : 'f';
    const nowhere = ['HEAD~5', 'HEAD~99999999999999999999', 'missing', absent.repeat(64), absent.repeat(8), ids[0]!.slice(0, 5), ids[0]!.toUpperCase(), '2026-01-29', '1970-01-01T00:00:00Z',
      '', 'head', 'HEAD~-1', 'HEAD^', 'HEAD~1.5', 'HEAD~x', 'v@HEAD', '../HEAD', '2026-1-1', `${ids[0]}0`]; // prettier-ignore
    for (const ref of nowhere) expect([ref, await codeOf(volume.snapshot(ref))]).toEqual([ref, 'CAIRN_SNAPSHOT_NOT_FOUND']);
    for (const ref of ['2026-13-01', '2026-01-32', '2026-02-30', '2026-01-31T25:00:00Z', new Date(NaN)])
      expect(await codeOf(volume.snapshot(ref))).toBe('CAIRN_INVALID_ARGUMENT');
    expect(await volume.snapshot('missing').catch((error: unknown) => error)).toBeInstanceOf(SnapshotNotFoundError);
    expect(await failure(volume.snapshot('missing'))).toMatchObject({ ref: 'missing', candidates: [] });
  });

  test('are resolved within their volume only', async () => {
    const { store, volume, ids } = await fiveDays();
    await volume.tag('release');
    const other = await store.volumes.fromName('other', { createIfMissing: true });
    expect(await codeOf(other.snapshot())).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    await other.commit();
    for (const ref of ['release', ids[0]!, ids[0]!.slice(0, 8), 'HEAD~1'])
      expect(await codeOf(other.snapshot(ref))).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
  });

  test('a prefix of several ids is refused, and names them all', () => {
    const ids = ['abcdef01', 'abcdef02', 'abcd0000'].map((start) => start.padEnd(64, '7'));
    const step = (hex: string): { generation: number; id: Uint8Array } => ({
      generation: ids.indexOf(hex) + 1,
      id: Buffer.from(hex, 'hex'),
    });
    const history = {
      tag: () => undefined,
      byPrefix: (prefix: string) => ids.filter((hex) => hex.startsWith(prefix)).map(step),
    } as never as Parameters<typeof resolveRef>[0];
    const ambiguous = (ref: string): unknown => {
      try {
        return resolveRef(history, ref).generation;
      } catch (error) {
        return error;
      }
    };
    expect(ambiguous('abcdef')).toMatchObject({
      code: 'CAIRN_AMBIGUOUS_REF',
      ref: 'abcdef',
      candidates: ids.slice(0, 2),
      hint: expect.stringContaining(ids[1]!),
    });
    expect(ambiguous('abcdef0')).toMatchObject({ code: 'CAIRN_AMBIGUOUS_REF' });
    expect([ambiguous('abcdef01'), ambiguous('abcd00')]).toEqual([1, 3]);
  });
});

describe('tags', () => {
  test('name a snapshot until they are moved by force or taken away', async () => {
    const { volume, ids } = await fiveDays();
    await volume.tag('best', 'HEAD~2');
    await volume.tag('best', ids[2]);
    expect(await failure(volume.tag('best'))).toMatchObject({ code: 'CAIRN_TAG_EXISTS' });
    await volume.tag('other');
    expect(await volume.tags()).toEqual([
      { name: 'best', snapshot: ids[2] },
      { name: 'other', snapshot: ids[4] },
    ]);
    await volume.tag('best', 'HEAD', { force: true });
    expect((await volume.snapshot()).info.tags).toEqual(['best', 'other']);
    await volume.untag('best');
    expect(await codeOf(volume.snapshot('best'))).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    expect(await codeOf(volume.untag('best'))).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    expect(await volume.tags()).toEqual([{ name: 'other', snapshot: ids[4] }]);
    expect(await codeOf(volume.tag('t', 'HEAD~9'))).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
  });

  test('are seen by all handles at once, and belong to their volume', async () => {
    const { store, name, f, g } = await twoHandles({ a: 'x' });
    await f.tag('t');
    expect((await g.tags()).map((tag) => tag.name)).toEqual(['t']);
    expect((await collect(g.history()))[0]?.tags).toEqual(['t']);
    await store.volumes.fork(name, `${name}-fork`);
    const fork = await store.volumes.fromName(`${name}-fork`);
    await fork.tag('only-here');
    expect((await f.tags()).map((tag) => tag.name)).toEqual(['t']);
  });
});

describe('history', () => {
  test('is newest first, from any ref, and as it is when it is asked', async () => {
    const { volume, ids } = await fiveDays();
    const history = await collect(volume.history());
    expect(history.map((info) => info.id)).toEqual([...ids].reverse());
    expect(history.map((info) => info.parent)).toEqual([...[...ids].reverse().slice(1), null]);
    expect(history.map((info) => info.generation)).toEqual([5, 4, 3, 2, 1]);
    expect(history[4]).toMatchObject({
      id: ids[0],
      parent: null,
      volume: 'v',
      generation: 1,
      createdAt: new Date(START),
      message: 'day 0',
      metadata: {},
      tags: [],
    });
    expect((await collect(volume.history({ from: 'HEAD~2' }))).map((info) => info.id)).toEqual([ids[2], ids[1], ids[0]]);
    expect((await collect(volume.history({ from: ids[0]! }))).map((info) => info.id)).toEqual([ids[0]]);
    expect(await codeOf(collect(volume.history({ from: 'missing' })))).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    expect(await collect((await newVolume()).history())).toEqual([]);
  });

  test('of a path: the snapshots that changed what is there, removals and returns included', async () => {
    const volume = await newVolume();
    const step = async (message: string, change: () => Promise<unknown>): Promise<void> => {
      await change();
      await volume.commit({ message });
    };
    await step('other', () => volume.writeFile('x', '1'));
    await step('added', () => volume.writeFile('d/a', '1'));
    await step('neighbour', () => volume.writeFile('d/b', '1'));
    await step('longer name', () => volume.writeFile('d/a.txt', '1'));
    await step('changed', () => volume.writeFile('d/a', '2'));
    await step('same', () => volume.writeFile('d/a', '2'));
    await step('removed', () => volume.remove('d/a'));
    await step('again other', () => volume.writeFile('x', '2'));
    await step('a folder', () => volume.writeFile('d/a/below', '1'));
    const of = async (path: string, from?: string): Promise<string[]> =>
      (await collect(volume.history({ path, ...(from === undefined ? {} : { from }) }))).map((info) => info.message);
    expect(await of('d/a')).toEqual(['a folder', 'removed', 'changed', 'added']);
    expect(await of('/d/a/', 'HEAD~3')).toEqual(['changed', 'added']);
    expect(await of('d')).toEqual(['a folder', 'removed', 'changed', 'longer name', 'neighbour', 'added']);
    expect(await of('x')).toEqual(['again other', 'other']);
    expect(await of('')).toHaveLength(8);
    expect(await of('never')).toEqual([]);
  });

  test('counts on request what each snapshot changed since the one before that survives', async () => {
    const volume = await newVolume();
    await writeAll(volume, { a: '1', 'd/b': '1', 'd/c': '1' });
    await volume.commit();
    await volume.writeFile('a', '2');
    await volume.symlink('a', 'link');
    await volume.commit();
    await volume.remove('d', { recursive: true });
    await volume.mkdir('empty');
    await volume.commit();
    await volume.commit({ message: 'nothing' });
    const changes = async (options: { path?: string } = {}): Promise<(number[] | undefined)[]> =>
      (await collect(volume.history({ ...options, changes: true }))).map(({ changes: counts }) => counts && Object.values(counts));
    expect(await changes()).toEqual([[0, 0, 0], [0, 0, 2], [1, 1, 0], [3, 0, 0]]); // prettier-ignore
    expect(await changes({ path: 'd' })).toEqual([[0, 0, 2], [3, 0, 0]]); // prettier-ignore
    expect((await collect(volume.history()))[0]).not.toHaveProperty('changes');
    await volume.prune({ keepEvery: 3 });
    expect(await changes()).toEqual([[0, 0, 0], [2, 0, 0]]); // prettier-ignore
  });

  test('of a path, is that of a plain model, whatever was written, removed and put back', async () => {
    const paths = ['a', 'd/a', 'd/e/f', 'd', 'd/e'];
    const edit = fc.record({ path: fc.constantFrom(...paths), text: fc.option(fc.constantFrom('1', '2')) });
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(edit, { maxLength: 3 }), { minLength: 1, maxLength: 12 }), async (commits) => {
        const volume = await newVolume();
        const trees: string[][] = [];
        for (const edits of commits) {
          for (const { path, text } of edits) {
            // A file may stand where a folder was, and the other way round.
            await volume.remove(path, { recursive: true, allowMissing: true }).catch(() => undefined);
            if (text !== null) await volume.writeFile(path, text).catch(() => undefined);
          }
          await volume.commit({ message: String(trees.length) });
          const entries = await volume.listdir('', { recursive: true });
          trees.push(entries.map((entry) => `${entry.path} ${entry.contentId ?? entry.type}`));
        }
        for (const path of [...paths, '', 'none']) {
          const at = (n: number): string =>
            (trees[n] ?? []).filter((line) => path === '' || (/^[ /]/.test(line.slice(path.length)) && line.startsWith(path))).join();
          const changing = trees.map((_, n) => n).filter((n) => at(n) !== at(n - 1));
          expect([path, (await collect(volume.history({ path }))).map((info) => Number(info.message))]).toEqual([path, changing.reverse()]);
        }
      }),
      { numRuns: 25 },
    );
  });

  test('is whole however long it is', async () => {
    const volume = await newVolume();
    for (let i = 0; i < 520; i++) await volume.commit({ message: String(i) });
    const messages = (await collect(volume.history())).map((info) => Number(info.message));
    expect(messages).toEqual(Array.from({ length: 520 }, (_, i) => 519 - i));
    expect((await volume.snapshot('HEAD~513')).info.message).toBe('6');
    expect(await collect(volume.history({ from: 'HEAD~513' }))).toHaveLength(7);
  });
});

describe('a snapshot', () => {
  test('never changes, is read only, and tells what it was made with', async () => {
    const { f } = await twoHandles({ a: 'x', 'd/b': 'y' });
    const snapshot = await f.snapshot();
    await f.remove('', { recursive: true });
    await f.commit();
    expect(await contents(snapshot)).toEqual({ a: 'x', 'd/b': 'y' });
    expect(snapshot.info.generation).toBe(1);
    expect('writeFile' in snapshot).toBe(false);
    expect(await contents(await f.snapshot())).toEqual({});
  });
});

describe('rollback', () => {
  test('is a new commit with an old tree; history only grows', async () => {
    const { store, volume, ids } = await fiveDays();
    const result = await volume.rollback('HEAD~3');
    expect(result).toMatchObject({
      changed: true,
      modified: 1,
      removed: 1,
      overwritten: [],
      bytes: { new: 0 },
      snapshot: { generation: 6, parent: ids[4] },
    });
    expect(result.snapshot.message).toContain(ids[1]!.slice(0, 12));
    expect(await contents(volume)).toEqual({ a: '1' });
    expect((await collect(volume.history())).map((info) => info.id)).toEqual([result.snapshot.id, ...[...ids].reverse()]);
    expect(await collect(volume.diff(ids[1]!))).toEqual([]);
    expect(await contents(await volumeV(store))).toEqual({ a: '1' });
    await volume.rollback(ids[4]!, { message: 'and forth' });
    expect((await volume.snapshot()).info.message).toBe('and forth');
    expect(await contents(volume)).toEqual({ a: '4', 'd/b': 'b' });
  });

  test('of a handle that is behind starts from the head', async () => {
    const { f, g } = await twoHandles({ a: '1' });
    await writeAll(f, { a: '2', b: '2' });
    await f.commit();
    const { overwritten } = await g.rollback('HEAD~1');
    expect(overwritten).toEqual([]);
    expect(await contents(g)).toEqual({ a: '1' });
  });

  test('of a dirty handle is refused, also when only an open file is dirty', async () => {
    const { volume } = await fiveDays();
    await volume.writeFile('a', 'mine');
    expect(await codeOf(volume.rollback('HEAD~1'))).toBe('CAIRN_UNCOMMITTED_CHANGES');
    expect(await volume.readFile('a', 'utf8')).toBe('mine');
    await volume.reload({ discard: true });
    const file = await volume.open('a', 'r+');
    await file.write(Buffer.from('mine'));
    expect(await codeOf(volume.rollback('HEAD~1'))).toBe('CAIRN_UNCOMMITTED_CHANGES');
    expect(await volume.readFile('a', 'utf8')).toBe('mine');
    await file.close();
    await volume.reload({ discard: true });
    expect(await codeOf(volume.rollback('missing'))).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    expect(await contents(volume)).toEqual({ a: '4', 'd/b': 'b' });
  });
});

describe('diff', () => {
  const byPath = async (changes: AsyncIterable<Change>): Promise<Record<string, string>> =>
    Object.fromEntries((await collect(changes)).map((change) => [change.path, change.type]));

  test('names what was added, modified and removed, with both versions', async () => {
    const { f } = await twoHandles({ same: 's', old: 'old', gone: 'gone!', 'd/kind': 'x' });
    await writeAll(f, { old: 'new one', 'new/file': 'abc' });
    await f.remove('gone');
    await f.remove('d/kind');
    await f.symlink('old', 'd/kind');
    await f.commit();
    const changes = await collect(f.diff('HEAD~1'));
    expect(Object.fromEntries(changes.map((change) => [change.path, change.type]))).toEqual({
      old: 'modified',
      gone: 'removed',
      'd/kind': 'modified',
      new: 'added',
      'new/file': 'added',
    });
    const at = (path: string): Change => changes.find((change) => change.path === path)!;
    expect(at('old')).toMatchObject({ before: { size: 3 }, after: { size: 7, path: 'old' }, changedBytes: 7 });
    expect(at('gone')).toMatchObject({ before: { size: 5 }, changedBytes: 5 });
    expect(at('gone')).not.toHaveProperty('after');
    expect(at('new/file')).toMatchObject({ after: { type: 'file' }, changedBytes: 3 });
    expect(at('d/kind')).toMatchObject({ before: { type: 'file' }, after: { type: 'symlink', symlinkTarget: 'old' } });
    expect(await byPath(f.diff('HEAD', 'HEAD~1'))).toEqual({
      old: 'modified',
      gone: 'added',
      'd/kind': 'modified',
      new: 'removed',
      'new/file': 'removed',
    });
    expect(await collect(f.diff('HEAD'))).toEqual([]);
  });

  test('counts the bytes in chunks that the older version does not have', async () => {
    const volume = await newVolume();
    const data = noise(4 << 20, 5);
    await volume.writeFile('model', data);
    await volume.commit();
    const file = await volume.open('model', 'r+');
    await file.write(Buffer.from('changed'), { position: 2 << 20 });
    await file.close();
    await volume.commit();
    const [change] = await collect(volume.diff('HEAD~1'));
    expect(change).toMatchObject({ type: 'modified', path: 'model' });
    expect(change!.changedBytes).toBeGreaterThan(0);
    expect(change!.changedBytes).toBeLessThanOrEqual(3 * 131_072);
    const digests = async (snapshot: Snapshot): Promise<Map<string, number>> =>
      new Map((await collect(snapshot.chunks('model'))).map((chunk) => [chunk.digest, chunk.length]));
    const [before, after] = [await digests(await volume.snapshot('HEAD~1')), await digests(await volume.snapshot())];
    const fresh = [...after].filter(([digest]) => !before.has(digest)).reduce((sum, [, length]) => sum + length, 0);
    expect(change!.changedBytes).toBe(fresh);
  });

  test('an executable bit alone is a change of no bytes; a modification time is none', async () => {
    const { f } = await twoHandles({ a: 'x', b: 'x' });
    await f.writeFile('a', 'x', { executable: true });
    await f.commit();
    expect(await collect(f.diff('HEAD~1'))).toMatchObject([{ type: 'modified', path: 'a', changedBytes: 0 }]);
  });

  test('compares snapshots of volumes of one store, and none of another store', async () => {
    const { store, f } = await twoHandles({ a: 'x' });
    const other = await store.volumes.fromName('other', { createIfMissing: true });
    await writeAll(other, { a: 'x', b: 'y' });
    await other.commit();
    expect(await byPath(f.diff('HEAD', await other.snapshot()))).toEqual({ b: 'added' });
    const foreign = await volumeV(await temporaryStore());
    await foreign.commit();
    expect(await codeOf(collect(f.diff('HEAD', await foreign.snapshot())))).toBe('CAIRN_INVALID_ARGUMENT');
    expect(await codeOf(collect(f.diff('missing')))).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
  });
});
