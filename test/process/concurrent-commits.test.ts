import { openStore, type SnapshotInfo, type Store } from '@cairn/core';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { Child, type Saying } from '../support/children.js';
import { randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';
import { mergeTrees, ModelHandle, type Tree } from '../support/volume-model.js';
import { tell } from '../support/tell.js';

/** Commits of each writer, and how often each is killed on the way there; a long run sets more. */
const COMMITS = Number(process.env['CAIRN_TEST_COMMITS'] ?? 6);
const KILLS = process.env['CAIRN_TEST_KILLS'];
const VOLUME = 'v';

/** What all lives of all writers said. */
interface Record {
  tried: Set<string>;
  /** Snapshot id of each acknowledged commit. */
  acknowledged: Map<string, string>;
  /** The last commit that a killed life had begun. */
  inDoubt: Set<string>;
  kills: number;
}

interface Sighting extends Saying {
  generation: number;
  id: string;
  files: { [path: string]: string | null };
}

/** Runs one writer through as many lives as it takes. */
async function runWriter(dir: string, number: number, kills: number, random: (limit: number) => number, record: Record): Promise<void> {
  for (let life = 0, left = COMMITS; left > 0; life++) {
    const writer = `w${number}-${life}`;
    const child = Child.start('committer.mjs', { dir, volume: VOLUME, writer, firstStep: 1, commits: left, seed: random(2 ** 31) + 1 });
    const doomed = kills > 0;
    if (doomed) {
      kills--;
      // Mostly during a commit, now and then while it starts.
      const step = random(5) === 0 ? 0 : 1 + random(Math.max(1, Math.floor(left / 2)));
      if (step > 0) await child.hears((saying) => saying.say === 'try' && saying['step'] === step);
      await sleep(random(step > 0 ? 25 : 600));
      await child.kill();
    }
    const { code, signal, stderr } = await child.ended;
    if (signal === 'SIGKILL' && doomed) record.kills++;
    else expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    left -= note(record, writer, child.said, code !== 0);
  }
}

/** Returns how many commits were acknowledged. */
function note(record: Record, writer: string, said: Saying[], killed: boolean): number {
  const name = (saying: Saying): string => `${writer} ${saying['step'] as number}`;
  const done = said.filter((saying) => saying.say === 'done');
  const tries = said.filter((saying) => saying.say === 'try');
  for (const saying of tries) record.tried.add(name(saying));
  for (const saying of done) {
    expect(saying['changed']).toBe(true);
    record.acknowledged.set(name(saying), saying['id'] as string);
  }
  if (killed && tries.length > done.length) record.inDoubt.add(name(tries.at(-1)!));
  return done.length;
}

/** The tree of every generation, from what the snapshots say was done: ours wins, in the order of history. */
function expectedTrees(history: SnapshotInfo[]): Tree[] {
  const trees: Tree[] = [new Map()];
  for (const { metadata } of history) {
    const base = trees[metadata['base'] as number]!;
    const handle = new ModelHandle(base);
    for (const [what, path, text] of JSON.parse(metadata['edits'] as string) as [string, string, string][]) {
      if (what === 'write') handle.writeFile(path, Buffer.from(text));
      else handle.remove(path, true);
    }
    trees.push(mergeTrees(base, handle.tree, trees.at(-1)!));
  }
  return trees;
}

function shown(tree: Tree): { [path: string]: string | null } {
  const texts = [...tree].map(([path, node]): [string, string | null] => [
    path,
    node.type === 'file' ? Buffer.from(node.bytes).toString() : null,
  ]);
  return Object.fromEntries(texts.sort(([a], [b]) => (a < b ? -1 : 1)));
}

async function shownSnapshot(store: Store, id: string): Promise<{ [path: string]: string | null }> {
  const volume = await store.volumes.fromName(VOLUME);
  const snapshot = await volume.snapshot(id);
  const entries = await snapshot.listdir('', { recursive: true });
  const texts = await Promise.all(
    entries.map(async ({ path, type }): Promise<[string, string | null]> => [
      path,
      type === 'file' ? await snapshot.readFile(path, 'utf8') : null,
    ]),
  );
  return Object.fromEntries(texts.sort(([a], [b]) => (a < b ? -1 : 1)));
}

describe('processes that commit to one volume at once, some killed', () => {
  test.each([
    [2, 2],
    [8, 1],
  ])(
    '%i writers: nothing acknowledged is lost, history is one chain, and every tree is what last-write-wins gives',
    async (writers, kills) => {
      const random = randomFrom(testSeed(`concurrent-commits ${writers}`));
      const dir = join(tempDir(), 'store');
      const setUp = await openStore(dir, { workers: 1 });
      await setUp.volumes.create(VOLUME);
      await setUp.close();

      const observer = Child.start('observer.mjs', { dir, volume: VOLUME });
      await observer.hears((saying) => saying.say === 'ready');
      const record: Record = { tried: new Set(), acknowledged: new Map(), inDoubt: new Set(), kills: 0 };
      await Promise.all(
        Array.from({ length: writers }, (_, number) => runWriter(dir, number, KILLS === undefined ? kills : Number(KILLS), random, record)),
      );
      observer.stop();
      const seen = (await observer.succeeds()).filter((saying) => saying.say === 'saw') as Sighting[];

      const store = await openStore(dir, { workers: 2 });
      try {
        const volume = await store.volumes.fromName(VOLUME);
        const history: SnapshotInfo[] = [];
        for await (const info of volume.history()) history.unshift(info);

        expect(history.map((info) => info.generation)).toEqual(history.map((_, i) => i + 1));
        expect(history.map((info) => info.parent)).toEqual([null, ...history.slice(0, -1).map((info) => info.id)]);
        const published = new Map(history.map((info) => [info.message, info.id]));
        expect(published.size).toBe(history.length);
        for (const [commit, id] of record.acknowledged) expect([commit, published.get(commit)]).toEqual([commit, id]);
        for (const commit of published.keys()) expect(record.acknowledged.has(commit) || record.inDoubt.has(commit), commit).toBe(true);
        expect(record.acknowledged.size).toBe(writers * COMMITS);

        const trees = expectedTrees(history);
        for (const { generation, id } of history)
          expect(await shownSnapshot(store, id), `generation ${generation}`).toEqual(shown(trees[generation]!));

        expect(seen.length).toBeGreaterThan(0);
        expect(seen.map(({ generation }) => generation)).toEqual(seen.map(({ generation }) => generation).sort((a, b) => a - b));
        for (const { generation, id, files } of seen) {
          expect(id).toBe(history[generation - 1]!.id);
          expect(files, `as seen at generation ${generation}`).toEqual(shown(trees[generation]!));
        }

        await volume.writeFile('after', 'all');
        await volume.commit();
        expect(readdirSync(join(dir, 'packs', 'incoming'))).toEqual([]);
        expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
      } finally {
        await store.close();
      }
      tell('concurrent commits', {
        ...{ writers, kills: record.kills, commits: record.acknowledged.size },
        ...{ inDoubt: record.inDoubt.size, headsSeen: seen.length },
      });
    },
    300_000,
  );
});

test('eight processes that commit 25 times each to one volume make 200 versions, and none is lost', async () => {
  const dir = join(tempDir(), 'store');
  await withStore(dir, (store) => store.volumes.create(VOLUME));
  const children = Array.from({ length: 8 }, (_, writer) =>
    Child.start('committer.mjs', { dir, volume: VOLUME, writer, firstStep: 1, commits: 25, seed: writer + 1 }),
  );
  const said = (await Promise.all(children.map((child) => child.succeeds()))).flat();
  const acknowledged = said.filter(({ say }) => say === 'done').map((done) => (done as unknown as { id: string }).id);
  const versions = await withStore(dir, async (store) => {
    const found = [];
    for await (const { id, generation } of (await store.volumes.fromName(VOLUME)).history()) found.push({ id: id as string, generation });
    return found;
  });
  expect(versions.map(({ generation }) => generation)).toEqual(Array.from({ length: 200 }, (_, i) => 200 - i));
  expect(versions.map(({ id }) => id).sort()).toEqual(acknowledged.sort());
});
