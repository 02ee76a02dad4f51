import { openStore } from '@cairn/core';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createHasher } from '../../packages/core/dist/hash/blake3.js';
import { rebuildState } from '../../packages/core/dist/publish/rebuild-state.js';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { Child } from '../support/children.js';
import { codeOf, failureOf } from '../support/failures.js';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';

const EXITING_DISK = new URL('../support/exiting-disk.mjs', import.meta.url).href;
const RECORDING_DISK = new URL('../support/recording-disk.mjs', import.meta.url).href;
const FAULTY_DISK = new URL('../support/faulty-disk.mjs', import.meta.url).href;

describe('a store that is made', () => {
  test('by several processes at once is one store, in which all of them succeed', async () => {
    const dir = join(tempDir(), 'deep', 'store');
    const names = ['a', 'b', 'c', 'd'];
    const children = names.map((name) => Child.start('newcomer.mjs', { dir, name }));
    await Promise.all(children.map((child) => child.hears(({ say }) => say === 'ready')));
    for (const child of children) child.stop();
    const said = await Promise.all(children.map((child) => child.succeeds()));
    const ids = said.map((sayings) => sayings.find(({ say }) => say === 'opened')!['id']);
    const store = await openStore(dir, { workers: 1 });
    expect(new Set(ids)).toEqual(new Set([store.info().id]));
    const volume = await store.volumes.fromName('everybody');
    expect((await volume.listdir('')).map(({ path }) => path)).toEqual(names);
    const history: string[] = [];
    for await (const { id } of volume.history()) history.push(id);
    expect(history.sort()).toEqual(said.map((sayings) => sayings.find(({ say }) => say === 'done')!['id']).sort());
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
    await store.close();
    expect(readdirSync(dir).sort()).toEqual(['format', 'index', 'leases', 'mounts', 'packs', 'refs', 'reserve']);
  });

  test('on a disk that fails, whichever call it is, is no store yet or a whole one, and can be made there', async () => {
    const make = (dir: string, failAt: number | undefined, counter: SharedArrayBuffer) =>
      openStoreOn({ durable: true, module: FAULTY_DISK, options: { failAt, counter, error: 'EIO' } }, dir, { workers: 1 });
    let failures = 0;
    for (let failAt = 1; ; failAt++) {
      const dir = join(tempDir(), 'store');
      const counter = new SharedArrayBuffer(4);
      const failure = await make(dir, failAt, counter).then(
        (store) => store.close(),
        (error: unknown) => error,
      );
      if (failure === undefined) {
        expect(new Int32Array(counter)[0]).toBeLessThan(failAt);
        break;
      }
      failures++;
      expect(codeOf(failure)).toBe('EIO');
      const store = await openStore(dir, { workers: 1 });
      expect(await store.volumes.list()).toEqual([]);
      expect(await store.verify()).toMatchObject({ ok: true, damage: [] });
      await store.close();
    }
    expect(failures).toBeGreaterThan(8);
  });

  test('has all its folders made by the disk, its own too, so that they are durable before the first commit is', async () => {
    const base = tempDir();
    const [dir, log] = [join(base, 'store'), join(base, 'log')];
    const store = await openStoreOn({ durable: true, module: RECORDING_DISK, options: { log } }, dir, { workers: 1 });
    const folders = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isDirectory());
    const made = readFileSync(log, 'utf8').split('\n');
    for (const folder of [dir, ...folders.map(({ parentPath, name }) => join(parentPath, name))]) {
      expect(
        made.some((line) => line === `mkdir ${folder}` || line.startsWith(`mkdir ${folder}/`)),
        folder,
      ).toBe(true);
    }
    await store.close();
  });
});

describe('a volume that another process deletes', () => {
  test('is gone for writers, and readers that stand on a snapshot go on', async () => {
    const dir = join(tempDir(), 'store');
    const store = await openStore(dir, { workers: 1 });
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    await volume.writeFile('small', 'small');
    await volume.writeFile('large', noise(5_000_000, 1));
    await volume.commit({ message: 'only' });
    const snapshot = await volume.snapshot();
    await volume.writeFile('mine', 'mine');

    await Child.start('deleter.mjs', { dir, volume: 'v' }).succeeds();
    expect(await snapshot.readFile('small', 'utf8')).toBe('small');
    expect(Buffer.compare(await volume.readFile('large'), noise(5_000_000, 1))).toBe(0);
    expect(await volume.readFile('mine', 'utf8')).toBe('mine');
    for (const call of [
      () => volume.commit(),
      () => volume.reload(),
      () => volume.tag('t'),
      () => store.volumes.info('v'),
      () => store.volumes.fromName('v'),
    ]) {
      expect(codeOf(await failureOf(call()))).toMatch(/^CAIRN_(VOLUME|SNAPSHOT)_NOT_FOUND$/);
    }
    // Its name again is another volume.
    await store.volumes.create('v');
    expect(codeOf(await failureOf(volume.commit()))).toBe('CAIRN_VOLUME_NOT_FOUND');
    expect(await (await store.volumes.fromName('v')).listdir('')).toEqual([]);
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
    await store.close();
  });
});

describe('an ephemeral volume', () => {
  test('is deleted once its process is dead, by the next that opens the store, and not before', async () => {
    const dir = join(tempDir(), 'store');
    const owner = Child.start('ephemeral.mjs', { dir });
    await owner.hears(({ say }) => say === 'ready');
    const open = async (): Promise<void> => (await openStore(dir, { workers: 1 })).close();
    const volumes = (): string[] => [...rebuildState(dir, createHasher()).table.volumes.values()].map(({ name }) => name);
    const leases = (): string[] => readdirSync(join(dir, 'leases'));
    await open();
    expect([volumes(), leases()]).toEqual([[''], [expect.any(String)]]);
    await owner.kill();
    const incoming = join(dir, 'packs', 'incoming');
    writeFileSync(join(incoming, `${leases()[0]!}-${'0'.repeat(32)}.pack`), 'what it was about to seal');
    await openStore(dir, { readOnly: true }).then((store) => store.close());
    expect([volumes(), leases(), readdirSync(incoming)]).toEqual([[''], [expect.any(String)], [expect.any(String)]]);
    await open();
    expect([volumes(), leases(), readdirSync(incoming)]).toEqual([[], [], []]);
  });
});

describe('a thread of an engine that dies', () => {
  const dying = async (): Promise<{ flag: string; dir: string; open: () => ReturnType<typeof openStoreOn> }> => {
    const base = tempDir();
    const flag = join(base, 'die');
    const dir = join(base, 'store');
    const open = (): ReturnType<typeof openStoreOn> =>
      openStoreOn({ durable: true, module: EXITING_DISK, options: { flag } }, dir, { workers: 2 });
    return { flag, dir, open };
  };

  test('at work fails that work with a typed error; the store goes on with new ones', async () => {
    const { flag, open } = await dying();
    const store = await open();
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    await volume.writeFile('before', 'before');
    await volume.commit();
    for (let round = 0; round < 3; round++) {
      const data = noise(20_000_000, round);
      writeFileSync(flag, '');
      const failure = await failureOf(volume.batchUpload((batch) => batch.putFile({ data }, `large-${round}`)));
      rmSync(flag);
      expect(codeOf(failure)).toBe('CAIRN_WORKER_DIED');
      expect(await volume.exists(`large-${round}`)).toBe(false);
      await volume.batchUpload((batch) => batch.putFile({ data }, `large-${round}`));
      expect(Buffer.compare(await volume.readFile(`large-${round}`), data)).toBe(0);
    }
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
    await store.close();
  });

  test('while it reads beside one that writes harms nobody else', async () => {
    const { flag, open } = await dying();
    const store = await open();
    const volume = await store.volumes.fromName('v', { createIfMissing: true });
    const data = noise(30_000_000, 1);
    await volume.writeFile('large', data);
    await volume.commit();
    writeFileSync(flag, '');
    const target = new Uint8Array(data.length);
    const [read, write] = await Promise.allSettled([
      volume.readInto({ path: 'large', target }),
      volume.writeFile('more', noise(20_000_000, 2)),
    ]);
    rmSync(flag);
    expect(read).toMatchObject({ status: 'fulfilled', value: data.length });
    expect(Buffer.compare(target, data)).toBe(0);
    expect(write).toMatchObject({ status: 'rejected', reason: { code: 'CAIRN_WORKER_DIED' } });
    await store.close();
  });
});
