import fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { isCairnError, repairStore, type Mount, type ReadView, type Store } from '@cairn/core';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { casesFor, type Case } from './corpus.js';
import { foldingDisk } from './folding-disk.js';
import { ForgedStore } from './forged-store.js';

/** Chunks of a file that are looked at: one that lies about its size has more than can be listed. */
const FEW_CHUNKS = 20;
const READ_BYTES = 1 << 20;

/** Where versions are brought to, several at a time, beside what must not be touched. */
interface Arena {
  root: string;
  targets: string[];
  outside: string;
}

const AT_ONCE = 6;

function makeArena(parent: string): Arena {
  const root = fs.mkdtempSync(join(parent, 'cairn-arena-'));
  const targets = Array.from({ length: AT_ONCE }, (_, i) => join(root, `target-${i}`));
  const arena = { root, targets, outside: join(root, 'outside') };
  for (const target of targets) fs.mkdirSync(target);
  fs.mkdirSync(join(arena.outside, 'folder'), { recursive: true });
  fs.writeFileSync(join(arena.outside, 'victim'), 'must stay as it is');
  fs.writeFileSync(join(arena.outside, 'kept'), 'was here before', { mode: 0o400 });
  fs.writeFileSync(join(arena.outside, 'folder', 'victim'), 'must stay as well');
  return arena;
}

/** Everything below a folder but what is in its targets, with what is in it, modes and times: links are not followed. */
function pictureOf({ root, targets }: Arena): string[] {
  const lines: string[] = [];
  const visit = (path: string): void => {
    const stat = fs.lstatSync(path);
    const what = stat.isSymbolicLink() ? fs.readlinkSync(path) : stat.isFile() ? fs.readFileSync(path, 'latin1') : '';
    const times = path === root ? '' : `${stat.mtimeMs}`;
    lines.push(`${relative(root, path)} ${stat.mode.toString(8)} ${times} ${stat.nlink > 1 && stat.isFile() ? 'linked' : ''} ${what}`);
    if (stat.isDirectory())
      for (const name of fs.readdirSync(path).sort()) if (!targets.includes(join(path, name))) visit(join(path, name));
  };
  visit(root);
  return lines;
}

/** What was not as it should be: a call may work, or fail by one of our errors. */
const wrong: string[] = [];
async function attempt<T>(what: string, call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    if (!isCairnError(error)) wrong.push(`${what}: ${(error as Error).stack}`);
    else if (error.hint === '') wrong.push(`${what}: no hint`);
    return undefined;
  }
}

/** Looks at all that a version says, by every call that reads. Returns whether the whole tree could be listed. */
async function look(view: ReadView, what: string): Promise<boolean> {
  const entries = await attempt(`list ${what}`, () => view.listdir('', { recursive: true }));
  for (const { path, type, size } of entries ?? []) {
    await attempt(`stat ${what}`, () => view.stat(path));
    await attempt(`list a folder of ${what}`, () => view.listdir(path));
    if (type !== 'file') continue;
    if (size <= READ_BYTES || size > 2 ** 32) await attempt(`read ${what}`, () => view.readFile(path));
    await attempt(`read a part of ${what}`, () => view.readInto({ path, position: Math.max(0, size - 4), target: new Uint8Array(4) }));
    await attempt(`stream ${what}`, async () => {
      for await (const _part of view.createReadStream(path, { end: READ_BYTES })) break;
    });
    await attempt(`tensors of ${what}`, () => view.tensors(path));
    await attempt(`chunks of ${what}`, async () => {
      let left = FEW_CHUNKS;
      for await (const _chunk of view.chunks(path)) if (--left === 0) break;
    });
  }
  return entries !== undefined;
}

describe('a store from a stranger', () => {
  const dir = fs.mkdtempSync(join(tmpdir(), 'cairn-stranger-'));
  let arena: Arena;
  let cases: Case[];
  let store: Store;

  beforeAll(async () => {
    arena = makeArena(dir);
    const forged = new ForgedStore();
    cases = casesFor(forged, { dir: arena.outside, relative: '../../outside' });
    cases.forEach(({ versions, level = 0 }, i) =>
      forged.volume(
        `case-${i}`,
        versions.map((items) => forged.node(level, items)),
      ),
    );
    await forged.write(join(dir, 'store'));
    await repairStore(join(dir, 'store'));
    store = await openStoreOn({ durable: false }, join(dir, 'store'), { workers: 1 });
  }, 120_000);
  afterAll(async () => {
    await store?.close();
    fs.rmSync(dir, { recursive: true, force: true });
  });

  /** Brings all versions of a case to the disk, in every way. */
  async function bringToDisk({ what, versions }: Case, name: string, target: string): Promise<void> {
    const [copy, mounted] = [join(target, 'copy'), join(target, 'mounted')];
    const volume = await attempt(`open ${what}`, () => store.volumes.fromName(name));
    if (volume === undefined) return;
    for (let back = versions.length - 1; back >= 0; back--) {
      const snapshot = await attempt(`open a version of ${what}`, () => volume.snapshot(`HEAD~${back}`));
      if (snapshot === undefined) continue;
      await attempt(`copy ${what}`, () => snapshot.copyToLocal('/', copy, { force: true }));
      for (const { path } of (await attempt(`list ${what}`, () => snapshot.listdir(''))) ?? [])
        await attempt(`copy an entry of ${what}`, () => snapshot.copyToLocal(path, join(target, 'one')));
    }
    const mount: Mount | undefined = await attempt(`mount ${what}`, () => volume.mount(mounted, { at: `HEAD~${versions.length - 1}` }));
    if (mount === undefined) return;
    await attempt(`status of ${what}`, () => mount.status());
    await attempt(`reload ${what}`, () => mount.reload());
    await attempt(`commit ${what}`, () => mount.commit());
    await attempt(`unmount ${what}`, () => mount.close({ removeFiles: true }));
    await attempt(`close ${what}`, () => mount.close());
  }

  /** Brings cases to an arena, and looks after each whether anything else was touched. */
  async function bringAll(place: Arena, wanted: RegExp): Promise<void> {
    const before = pictureOf(place);
    const next = cases.entries();
    const lane = async (target: string): Promise<void> => {
      for (const [i, one] of next) {
        if (!wanted.test(one.what)) continue;
        await bringToDisk(one, `case-${i}`, target);
        const changed = pictureOf(place).filter((line, at) => line !== before[at]);
        if (changed.length > 0) wrong.push(`${one.what}, or another at that moment, touched ${changed.join('; ')}`);
        for (const entry of fs.readdirSync(target, { recursive: true, withFileTypes: true })) {
          const { mode } = fs.lstatSync(join(entry.parentPath, entry.name));
          if ((mode & 0o7000) !== 0) wrong.push(`${one.what} made a file of mode ${mode.toString(8)}`);
        }
        fs.rmSync(target, { recursive: true });
        fs.mkdirSync(target);
      }
    };
    await Promise.all(place.targets.map(lane));
    expect(pictureOf(place)).toEqual(before);
  }

  test('has at least 150 hostile trees to show', () => {
    expect(cases.length).toBeGreaterThanOrEqual(150);
  });

  test('is listed and read with typed errors or without harm; keys that are no path are damage', async () => {
    wrong.length = 0;
    for (const [i, { what, expected, versions }] of cases.entries()) {
      const volume = await attempt(`open ${what}`, () => store.volumes.fromName(`case-${i}`));
      let listed = false;
      for (let back = 0; back < versions.length && volume !== undefined; back++) {
        const snapshot = await attempt(`open a version of ${what}`, () => volume.snapshot(`HEAD~${back}`));
        if (snapshot !== undefined) listed = (await look(snapshot, what)) || listed;
      }
      if (volume !== undefined && versions.length > 1)
        await attempt(`diff of ${what}`, async () => {
          for await (const _change of volume.diff('HEAD~1', 'HEAD')) continue;
        });
      if (listed !== (expected === 'strange')) wrong.push(`${what}: ${listed ? '' : 'not '}listed`);
    }
    expect(wrong).toEqual([]);
  });

  test('writes nothing beside the folder that it is copied or mounted to', async () => {
    wrong.length = 0;
    await bringAll(arena, /./);
    expect(wrong).toEqual([]);
  }, 300_000);

  test('writes nothing beside a folder of a file system that folds names', async ({ skip }) => {
    const disk = foldingDisk();
    if ('reason' in disk) return skip(disk.reason);
    onTestFinished(disk.remove);
    const place = makeArena(disk.dir);
    // Links lead to what is outside there, too.
    fs.symlinkSync(place.outside, join(place.root, 'link'));
    wrong.length = 0;
    await bringAll(place, /differ by case|differs by case|Unicode form|fold in|the places of a mount|link to outside, then/);
    expect(wrong).toEqual([]);
  }, 300_000);

  test('is found out by verify, as far as what is in it is damage', async () => {
    const { ok, damage } = await store.verify({ readData: true });
    expect(ok).toBe(false);
    const touched = new Set(damage.flatMap(({ affects }) => affects.map(({ volume }) => volume)));
    const missed = cases.filter(
      ({ expected, what }, i) => (expected === 'refused' || what.startsWith('a file of ')) && !touched.has(`case-${i}`),
    );
    expect(missed.map(({ what }) => what)).toEqual([]);
  });
});
