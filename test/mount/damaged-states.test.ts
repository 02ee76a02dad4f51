import { existsSync, readdirSync, readFileSync, renameSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MountOptions, Store } from '@cairn/core';
import { beforeEach, describe, expect, test } from 'vitest';
import { openDisk } from '../../packages/core/dist/disk/open-disk.js';
import { createHasher } from '../../packages/core/dist/hash/blake3.js';
import { setStateAside } from '../../packages/core/dist/mount/lost-state.js';
import type { MountId } from '../../packages/core/dist/mount/places.js';
import { StoreLayout } from '../../packages/core/dist/pack/store-layout.js';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { repairStoreOn } from '../../packages/core/dist/store/repair-store.js';
import { codeOf, failure } from '../contract/support.js';
import { Child } from '../support/children.js';
import { noise, randomFrom, testSeed } from '../support/random.js';
import { tell } from '../support/tell.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';
import { edit, folder, headOf } from './support.js';

const SPEC = { durable: false };

/** Flips of a state beside those of each run. */
const MORE = Array.from({ length: process.env['CAIRN_SOAK_FLIPS'] === undefined ? 0 : 12 }, () => 'flip' as const);

let dir: string;
let shown: string;

beforeEach(() => {
  const top = tempDir();
  [dir, shown] = [join(top, 'store'), join(top, 'shown')];
});

function inStore<T>(use: (store: Store) => Promise<T>): Promise<T> {
  return withStore(dir, use, (at) => openStoreOn(SPEC, at, { workers: 1 }));
}

/** Files that nobody edited, of which others have a newer version; and what the user edited, none of it committed. */
interface Scene {
  theirs: Record<string, string>;
  mine: Record<string, string>;
}

/** Leaves the folder behind its volume, with edits, and without an owner. Goes on from what both held before. */
async function play(store: Store, round: number, options: MountOptions = {}): Promise<Scene> {
  const volume = await store.volumes.fromName('v', { createIfMissing: true });
  for (const name of ['stale', 'edited', 'deleted', 'deep/same']) await volume.writeFile(name, `${name} ${round}`);
  await volume.commit();
  const mount = await volume.mount(shown, options);
  await mount.reload();
  const theirs = { stale: `theirs ${round}`, theirs: `new ${round}` };
  for (const [path, text] of Object.entries(theirs)) await volume.writeFile(path, text);
  await volume.commit();
  const mine = { edited: `mine ${round}`, 'deep/added': `mine, too ${round}` };
  edit(shown, { ...mine, ...(existsSync(join(shown, 'deleted')) ? { deleted: null } : {}) });
  await mount.close();
  await volume.close();
  return { theirs, mine };
}

function mountId(): string {
  const [id] = readdirSync(join(dir, 'mounts'));
  return id!;
}

const pathOf = (name: string): string => join(dir, 'mounts', mountId(), name);

function flip(path: string, at: number, bit: number): void {
  const bytes = readFileSync(path);
  bytes[at]! ^= 1 << bit;
  writeFileSync(path, bytes);
}

/** The folder is mounted: no byte of the user's is lost, nothing of others is undone where it is known what the folder held, and both are committed. */
async function expectAllThere(
  store: Store,
  { theirs, mine }: Scene,
  { isKnown = true, options = {} }: { isKnown?: boolean; options?: MountOptions } = {},
): Promise<void> {
  const before = folder(shown);
  expect(before).toMatchObject(mine);
  const volume = await store.volumes.fromName('v');
  const mount = await volume.mount(shown, options);
  expect(folder(shown)).toMatchObject(mine);
  await mount.commit();
  await mount.reload();
  expect(folder(shown)).toMatchObject({ ...mine, 'deep/same': before['deep/same'] });
  await volume.reload();
  const head = await headOf(volume);
  expect(head).toMatchObject({ ...mine, ...(isKnown ? theirs : { theirs: theirs['theirs'] }) });
  expect(folder(shown)).toEqual(head);
  expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
  await mount.close();
  await volume.close();
}

/** It is told, and nothing else is stopped by it. */
async function expectTold(store: Store, id: string): Promise<void> {
  const { ok, damage } = await store.verify();
  expect({ ok, damage }).toMatchObject({ ok: false, damage: [{ kind: 'mount', id, affects: [] }] });
  const unreadableMounts = [{ mount: id, dir: damage[0]!.folder ?? null, why: expect.stringContaining(id) as string }];
  expect(await store.gc({ dryRun: true })).toMatchObject({ unreadableMounts });
  expect(await store.gc()).toMatchObject({ unreadableMounts, lostMounts: [] });
  await store.optimize();
  const volume = await store.volumes.fromName('v');
  expect(await failure(volume.mount(shown))).toMatchObject({ code: 'CAIRN_DAMAGED', hint: expect.stringContaining(id) as string });
  await volume.close();
}

async function repair(id: string): Promise<void> {
  const foreseen = await repairStoreOn(SPEC, dir, { dryRun: true });
  expect(foreseen).toMatchObject({ ok: false, damage: [{ kind: 'mount', id }] });
  expect(existsSync(pathOf('state'))).toBe(true);
  const report = await repairStoreOn(SPEC, dir, {});
  expect(report).toMatchObject({ ok: true, damage: [] });
  expect(report.quarantined).toEqual(expect.arrayContaining(foreseen.quarantined));
  for (const name of foreseen.quarantined) expect(existsSync(join(dir, name))).toBe(true);
}

async function giveUp(id: string): Promise<void> {
  await inStore(async (store) => {
    expect(await store.gc({ forgetMount: id })).toMatchObject({ unreadableMounts: [], waiting: 0 });
  });
}

describe('the state of a mount that is damaged', () => {
  test.each([
    ['repair', repair, ['flip']],
    ['gc --forget-mount', giveUp, ['version', 'empty']],
  ] as const)(
    'is told, stops nothing else, and after %s the folder is mounted with all that is in it',
    async (way, mendIt, kinds) => {
      const random = randomFrom(testSeed(`damaged states, ${way}`));
      for (const [round, kind] of [...kinds, ...MORE].entries()) {
        const scene = await inStore((store) => play(store, round));
        const [id, path] = [mountId(), pathOf('state')];
        const { size } = statSync(path);
        if (kind === 'empty') truncateSync(path, 0);
        else flip(path, kind === 'version' ? 'cairn-mount '.length : random(size), random(7));
        const damaged = readFileSync(path);
        await inStore((store) => expectTold(store, id));
        await mendIt(id);
        const aside = readdirSync(join(dir, 'quarantine')).filter((name) => name.startsWith(`mount-${id}`));
        expect(aside).toHaveLength(round + 1);
        expect(aside.map((name) => readFileSync(join(dir, 'quarantine', name))).some((bytes) => bytes.equals(damaged))).toBe(true);
        await inStore(async (store) => {
          expect(await store.verify()).toMatchObject({ ok: true, damage: [] });
          expect(await store.gc()).toMatchObject({ unreadableMounts: [], lostMounts: [] });
          await expectAllThere(store, scene);
        });
      }
      tell('damaged states of mounts', { states: kinds.length + MORE.length });
    },
    60_000 + 20_000 * MORE.length,
  );

  test('and all else that is known of it: every file in the folder counts as the user’s', async () => {
    const scene = await inStore((store) => play(store, 0));
    for (const name of readdirSync(join(dir, 'mounts', mountId()))) truncateSync(pathOf(name), 0);
    await giveUp(mountId());
    await inStore((store) => expectAllThere(store, scene, { isKnown: false }));
  });

  test('keeps what only that mount needs from being freed, for as long as nobody gave it up', async () => {
    const text = Buffer.from(noise(300_000, 1)).toString('base64');
    await inStore(async (store) => {
      const volume = await store.volumes.fromName('v', { createIfMissing: true });
      await volume.writeFile('large', text);
      await volume.commit();
      await (await volume.mount(shown)).close();
      await volume.writeFile('large', 'small');
      await volume.commit();
      await volume.prune({ keepLast: 1 });
      await volume.close();
    });
    const whole = readFileSync(pathOf('state'));
    flip(pathOf('state'), 100, 0);
    await inStore(async (store) => {
      expect((await store.gc({ dryRun: true })).waiting).toBeGreaterThan(200_000);
      expect((await store.gc()).waiting).toBeGreaterThan(200_000);
      expect((await store.optimize()).storedAfter).toBeLessThan(100_000);
    });
    // As a disk that could not be read for a while.
    writeFileSync(pathOf('state'), whole);
    await inStore(async (store) => {
      const { freed, ...report } = await store.gc();
      expect(report).toMatchObject({ waiting: 0, unreadableMounts: [] });
      expect(freed).toBeLessThan(1000);
      const mount = await (await store.volumes.fromName('v')).mount(shown);
      expect(await mount.status()).toMatchObject({ modified: [], behind: 1 });
      await mount.close();
    });
    flip(pathOf('state'), 100, 0);
    await inStore(async (store) => {
      const before = (await store.usage()).stored;
      await store.gc({ forgetMount: mountId() });
      expect(before - (await store.usage()).stored).toBeGreaterThan(200_000);
    });
    await inStore(async (store) => {
      await (await (await store.volumes.fromName('v')).mount(shown)).close();
      expect(folder(shown)).toEqual({ large: text });
    });
  });

  test('lets the folder not be taken for one of another volume, nor a part of it for the whole', async () => {
    const scene = await inStore(async (store) => {
      await store.volumes.create('other');
      return play(store, 0);
    });
    flip(pathOf('state'), statSync(pathOf('state')).size - 5, 0);
    await giveUp(mountId());
    await inStore(async (store) => {
      const before = folder(shown);
      expect(await codeOf((await store.volumes.fromName('other')).mount(shown))).toBe('ENOTEMPTY');
      const volume = await store.volumes.fromName('v');
      const part = await volume.mount(shown, { subPath: 'deep' });
      expect(folder(shown)).toMatchObject(before);
      expect(await part.status()).toMatchObject({ removed: [], modified: [] });
      await part.commit();
      await volume.reload();
      expect(await headOf(volume)).toMatchObject({ ...scene.theirs, deleted: 'deleted 0', 'deep/same': 'deep/same 0' });
      await part.close();
    });
  });

  test('is one of a folder for reading only: what is edited by force stays, the rest is as the volume has it', async () => {
    const scene = await inStore((store) => play(store, 0, { readOnly: true }));
    truncateSync(pathOf('state'), 40);
    await giveUp(mountId());
    await inStore(async (store) => {
      const mount = await (await store.volumes.fromName('v')).mount(shown, { readOnly: true });
      expect(folder(shown)).toMatchObject({ ...scene.mine, ...scene.theirs });
      expect(statSync(join(shown, 'stale')).mode & 0o222).toBe(0);
      await mount.close();
    });
  });
});

test('a state on its way to quarantine is at one of the two places, whole, whatever disk call fails, and the next try ends it', async () => {
  await inStore((store) => play(store, 0));
  const layout = new StoreLayout(dir);
  const [id, path] = [mountId() as MountId, pathOf('state')];
  flip(path, 200, 0);
  const damaged = readFileSync(path);
  const hasher = createHasher();
  const aside = (): string[] => readdirSync(dir).flatMap((name) => (name === 'quarantine' ? readdirSync(join(dir, name)) : []));
  let failed = 0;
  for (let failAt = 1; ; failAt++) {
    const options = { failAt, error: 'EIO', counter: new SharedArrayBuffer(4) };
    const disk = await openDisk({ durable: true, module: new URL('../support/faulty-disk.mjs', import.meta.url).href, options });
    let failure: unknown;
    try {
      setStateAside(disk, layout, id, hasher);
    } catch (error) {
      failure = error;
    }
    const places = [...(existsSync(path) ? [path] : []), ...aside().map((name) => join(dir, 'quarantine', name))];
    expect(places, `call ${failAt}`).toHaveLength(1);
    expect(readFileSync(places[0]!).equals(damaged)).toBe(true);
    if (failure === undefined) break;
    failed++;
    expect(failure).toMatchObject({ code: 'EIO' });
    setStateAside(await openDisk(SPEC), layout, id, hasher);
    expect(aside()).toHaveLength(1);
    renameSync(join(dir, 'quarantine', aside()[0]!), path);
  }
  expect(failed).toBeGreaterThan(2);
  // One that its owner has written anew meanwhile stays.
  flip(join(dir, 'quarantine', aside()[0]!), 200, 0);
  renameSync(join(dir, 'quarantine', aside()[0]!), path);
  expect(setStateAside(await openDisk(SPEC), layout, id, hasher)).toBeUndefined();
  expect([existsSync(path), aside()]).toEqual([true, []]);
});

test('damage to any other file of a mount is no obstacle, and loses nothing', async () => {
  const random = randomFrom(testSeed('damaged files of mounts'));
  await inStore((store) => play(store, 0));
  const child = Child.start('mounter.mjs', { store: dir, volume: 'v', folder: shown, stay: true });
  await child.hears(({ say }) => say === 'mounted');
  await child.kill();
  const owner = readdirSync(join(dir, 'mounts', mountId())).find((name) => name.startsWith('owner-'))!;
  const ofDead = readFileSync(pathOf(owner), 'latin1');
  const digits = ofDead.indexOf('pidNamespace') + 'pidNamespace":'.length;
  for (const [round, flipped] of [digits, -1].entries()) {
    const scene = await inStore((store) => play(store, round + 1));
    writeFileSync(pathOf(owner), ofDead);
    const names = readdirSync(join(dir, 'mounts', mountId()));
    expect(new Set(names.map((name) => name.replace(/-.*/, '')))).toEqual(new Set(['owner', 'stat', 'state']));
    for (const name of names.filter((other) => other !== 'state')) {
      const { size } = statSync(pathOf(name));
      if (flipped < 0) truncateSync(pathOf(name), random(size));
      else flip(pathOf(name), name === owner ? flipped : random(size), random(7));
    }
    await inStore(async (store) => {
      expect(await store.verify()).toMatchObject({ ok: true, damage: [] });
      expect(await store.gc()).toMatchObject({ unreadableMounts: [], lostMounts: [] });
      await expectAllThere(store, scene);
    });
  }
});
