import { linkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { openStore, type SnapshotInfo, type Store, type Volume } from '@cairn/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { journalName } from '../../packages/core/src/refs/journal-file.js';
import { JournalWatcher } from '../../packages/core/src/refs/journal-watcher.js';
import { Child } from '../support/children.js';
import { tempDir } from '../support/temp-dir.js';
import { codeOf, newVolume, temporaryStore, twoHandles, volumeV } from './support.js';

async function commit(volume: Volume, text: string): Promise<SnapshotInfo> {
  await volume.writeFile('a', text);
  return (await volume.commit({ message: text })).snapshot;
}

/** A store that other processes can open, with one commit to `v`. */
async function sharedStore(): Promise<{ dir: string; store: Store; volume: Volume }> {
  const dir = tempDir();
  const store = await openStore(dir, { workers: 1 });
  onTestFinished(() => store.close());
  const volume = await volumeV(store);
  await commit(volume, 'first');
  return { dir, store, volume };
}

const iterate = (volume: Volume, signal?: AbortSignal): AsyncIterator<SnapshotInfo> => volume.watch({ signal })[Symbol.asyncIterator]();

describe('watch', () => {
  test('gives each new head of this process, own commits too, and nothing for other changes', async () => {
    const { store, f, g } = await twoHandles({ a: 'x' });
    const heads = iterate(g);
    const first = heads.next();
    const another = await store.volumes.fromName('another', { createIfMissing: true });
    await commit(another, 'elsewhere');
    await f.tag('t');
    const made = await commit(f, '2');
    expect((await first).value).toEqual({ ...made, tags: [] });
    expect(g.base!.generation).toBe(1);
    const second = heads.next();
    await f.prune({ keepLast: 1 });
    const own = await commit(g, '3');
    expect((await second).value).toMatchObject({ id: own.id, generation: 3 });
    expect(await heads.return!()).toMatchObject({ done: true });
  });

  test('misses nothing between the opening of the handle and the first wait, and gives the newest of several', async () => {
    const { f, g } = await twoHandles({ a: 'x' });
    await commit(f, '2');
    const heads = iterate(g);
    await commit(f, '3');
    const { id } = await commit(f, '4');
    expect((await heads.next()).value).toMatchObject({ id, generation: 4 });
    const next = heads.next();
    await commit(f, '5');
    expect((await next).value).toMatchObject({ generation: 5 });
    await heads.return!();
  });

  test('of a volume without commits waits for its first', async () => {
    const volume = await newVolume();
    const first = iterate(volume).next();
    await commit(volume, '1');
    expect((await first).value).toMatchObject({ generation: 1, parent: null });
  });

  test('rejects with the reason of an abort: before, while it waits, and between two waits', async () => {
    const { f, g } = await twoHandles({ a: 'x' });
    const reason = new Error('enough');
    const wait = (controller: AbortController): Promise<unknown> => iterate(g, controller.signal).next();
    const before = new AbortController();
    before.abort(reason);
    await expect(wait(before)).rejects.toBe(reason);
    const during = new AbortController();
    const waiting = wait(during);
    setTimeout(() => during.abort(reason), 20);
    await expect(waiting).rejects.toBe(reason);
    const between = new AbortController();
    const heads = iterate(g, between.signal);
    await commit(f, '2');
    await heads.next();
    between.abort(reason);
    await expect(heads.next()).rejects.toBe(reason);
    expect(await heads.next()).toEqual({ done: true, value: undefined });
  });

  test('ends with ClosedError when the handle or the store closes, also while it waits', async () => {
    const store = await temporaryStore();
    const [one, two] = [await volumeV(store), await volumeV(store)];
    const [first, second] = [iterate(one).next(), iterate(two).next()];
    const endings = [codeOf(first), codeOf(second)];
    await sleep(20);
    await one.close();
    expect(await endings[0]).toBe('CAIRN_CLOSED');
    expect(await codeOf(() => iterate(one))).toBe('CAIRN_CLOSED');
    await store.close();
    expect(await endings[1]).toBe('CAIRN_CLOSED');
  });

  test('ends with VolumeNotFoundError when the volume is deleted; a new name is no change', async () => {
    const store = await temporaryStore();
    const volume = await volumeV(store);
    const ending = codeOf(iterate(volume).next());
    await store.volumes.rename('v', 'w');
    await store.volumes.delete('w');
    expect(await ending).toBe('CAIRN_VOLUME_NOT_FOUND');
  });

  test('sees the commits of another process, to the last one', async () => {
    const { dir, store } = await sharedStore();
    const watching = await volumeV(store);
    const child = Child.start('committer.mjs', { dir, volume: 'v', writer: 'w', firstStep: 1, commits: 8, seed: 3 });
    const seen: number[] = [];
    for await (const { generation } of watching.watch({ signal: AbortSignal.timeout(30_000) })) {
      seen.push(generation);
      if (generation === 9) break;
    }
    await child.succeeds();
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(new Set(seen).size).toBe(seen.length);
  });

  test('keeps a process alive while it is waited for, and not between two waits', async () => {
    const { dir, volume } = await sharedStore();
    const child = Child.start('watcher.mjs', { dir, volume: 'v', stopAfter: 2 });
    await child.hears(({ say }) => say === 'watching');
    let over = false;
    void child.ended.then(() => (over = true));
    await sleep(1500);
    expect(over).toBe(false);
    await commit(volume, 'second');
    await child.hears((said) => said.say === 'head' && said['generation'] === 2);
    await commit(volume, 'third');
    // Its iterator, handle and store are still open when it ends.
    expect((await child.succeeds()).at(-1)).toEqual({ say: 'head', generation: 3 });
  });
});

describe('the watcher of the ref journal', () => {
  test('hears of a change when it is linked into place, and of nothing else', async () => {
    const dir = tempDir();
    const watcher = new JournalWatcher(dir);
    onTestFinished(() => watcher.close());
    const woken = watcher.wait(60_000, new AbortController().signal);
    writeFileSync(join(dir, '.0123456789abcdef.tmp'), 'x');
    await sleep(50);
    expect(watcher.newest).toBe(0);
    linkSync(join(dir, '.0123456789abcdef.tmp'), join(dir, journalName(7)));
    await woken;
    expect(watcher.newest).toBe(7);
  });

  test('of a folder that cannot be watched still wakes who waits', async () => {
    const watcher = new JournalWatcher(join(tempDir(), 'missing'));
    await watcher.wait(5, new AbortController().signal);
    await watcher.wait(60_000, AbortSignal.abort());
    watcher.close();
  });
});
