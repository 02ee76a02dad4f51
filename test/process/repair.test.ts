import { openStore, repairStore, type Store } from '@cairn/core';
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  openSync,
  closeSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { survivesOpening } from '../../packages/core/dist/index/trial.js';
import { repairStoreOn } from '../../packages/core/dist/store/repair-store.js';
import { Child } from '../support/children.js';
import { codeOf, failureOf } from '../support/failures.js';
import { OPERATIONS, prepare, stateOf, type State } from '../support/operations.mjs';
import { noise, randomFrom, testSeed } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';

const MIB = 1 << 20;
const FAULTY = new URL('../support/faulty-disk.mjs', import.meta.url).href;

/** One call in so many is the one that fails. A long run takes all. */
const STRIDE = process.env['CAIRN_TEST_FAULTS'] === 'all' ? 1 : 9;

let dir: string;
let state: State;

/** A store with a history of all kinds of changes. */
beforeEach(async () => {
  dir = join(tempDir(), 'store');
  const sources = join(tempDir(), 'sources');
  state = await withStore(dir, async (store) => {
    await prepare(store, sources);
    for (const name of ['commit', 'upload', 'create', 'fork', 'rename', 'tag']) await OPERATIONS[name]!.run(store, 1, sources);
    return stateOf(store);
  });
});

const packs = (): string[] =>
  readdirSync(join(dir, 'packs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.pack'))
    .map((name) => join(dir, 'packs', name))
    .sort();

function flip(file: string, at: number): void {
  const byte = readFileSync(file)[at]!;
  const fd = openSync(file, 'r+');
  writeSync(fd, Uint8Array.of(byte ^ 1), 0, 1, at);
  closeSync(fd);
}

/** Every file of a folder and its bytes, in one line each. */
function listing(of: string): string[] {
  return readdirSync(of, { recursive: true, encoding: 'utf8' })
    .filter((name) => statSync(join(of, name)).isFile() && !name.endsWith('lock.mdb'))
    .map(
      (name) =>
        `${name} ${createHash('sha256')
          .update(readFileSync(join(of, name)))
          .digest('hex')}`,
    )
    .sort();
}

async function largeFile(store: Store, seed = 1): Promise<Uint8Array> {
  const bytes = noise(3 * MIB, seed);
  const volume = await store.volumes.fromName('main');
  await volume.writeFile('large', bytes);
  await volume.commit();
  return bytes;
}

/** The pack that the most bytes went to. */
function largestPack(): string {
  return packs().sort((a, b) => statSync(b).size - statSync(a).size)[0]!;
}

describe('repair without an index', () => {
  test.each([
    ['that is lost', () => rmSync(join(dir, 'index'), { recursive: true })],
    ['that is empty', () => truncateSync(join(dir, 'index', 'data.mdb'), 0)],
    ['that is cut short', () => truncateSync(join(dir, 'index', 'data.mdb'), 5000)],
    ['that ends whoever reads it', () => truncateSync(join(dir, 'index', 'data.mdb'), 8192)],
    ['that is something else', () => writeFileSync(join(dir, 'index', 'data.mdb'), noise(100_000, 1))],
    ['that is an old one', () => undefined],
  ])('%s brings back the very state: heads, names, tags, histories and files', async (what, damage) => {
    if (what === 'that is an old one') {
      const old = join(tempDir(), 'index');
      cpSync(join(dir, 'index'), old, { recursive: true });
      state = await withStore(dir, async (store) => {
        for (let i = 10; i < 14; i++) await OPERATIONS['commit']!.run(store, i, '');
        return stateOf(store);
      });
      rmSync(join(dir, 'index'), { recursive: true });
      cpSync(old, join(dir, 'index'), { recursive: true });
    } else damage();
    if (what === 'that ends whoever reads it') expect(await survivesOpening(join(dir, 'index'), 'write')).toBe(false);
    else expect(codeOf(await failureOf(openStore(dir)))).toBe('CAIRN_DAMAGED');

    const report = await repairStore(dir);
    expect(report).toMatchObject({ ok: true, damage: [], healed: 0 });
    expect(report.quarantined.filter((name) => name.endsWith('.pack'))).toEqual([]);
    await withStore(dir, async (store) => {
      expect(await stateOf(store)).toEqual(state);
      expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
      await OPERATIONS['commit']!.run(store, 100, '');
    });
    expect(readdirSync(dir).filter((name) => name.startsWith('index'))).toEqual(['index']);
  });

  test('of a store that is whole changes nothing in it', async () => {
    expect(await repairStore(dir)).toMatchObject({ ok: true, damage: [], healed: 0 });
    await withStore(dir, async (store) => expect(await stateOf(store)).toEqual(state));
  });

  test('of a folder that is no store is refused', async () => {
    expect(codeOf(await failureOf(repairStore(join(dir, 'nothing'))))).toBe('CAIRN_STORE_NOT_FOUND');
  });
});

describe('repair of a damaged pack', () => {
  test('sets it aside, keeps what is whole in it, and says what is lost', async () => {
    await withStore(dir, (store) => largeFile(store));
    const pack = largestPack();
    const bytes = readFileSync(pack);
    flip(pack, 100_000);

    const before = listing(dir);
    const dry = await repairStore(dir, { dryRun: true });
    expect(listing(dir)).toEqual(before);
    expect(dry).toMatchObject({ ok: false, healed: 0 });

    const report = await repairStore(dir);
    expect(report.ok).toBe(false);
    expect(report.damage.map(({ kind }) => kind)).toEqual(['chunk']);
    expect(report.damage[0]!.affects).toMatchObject([{ volume: 'main', path: 'large' }]);
    expect(dry.damage.filter(({ kind }) => kind === 'chunk')).toEqual(report.damage);
    const name = report.quarantined.find((file) => file.endsWith('.pack'))!;
    expect(dry.quarantined).toEqual([name]);
    expect(readFileSync(join(dir, name)).length).toBe(bytes.length);
    expect(existsSync(pack)).toBe(false);

    await withStore(dir, async (store) => {
      const volume = await store.volumes.fromName('main');
      expect(codeOf(await failureOf(volume.readFile('large')))).toBe('CAIRN_DAMAGED');
      // All but one chunk of it can be read.
      const target = new Uint8Array(MIB);
      await volume.readInto({ path: 'large', position: 2 * MIB, target });
      expect(Buffer.compare(target, noise(3 * MIB, 1).subarray(2 * MIB))).toBe(0);
      expect(await volume.readFile('first', 'utf8')).toBe('the first file');
    });
  });

  test('takes good copies from files, folders and other stores', async () => {
    const large = await withStore(dir, (store) => largeFile(store));
    const copy = join(tempDir(), 'copy');
    cpSync(dir, copy, { recursive: true });
    const folder = tempDir();
    writeFileSync(join(folder, 'unrelated'), noise(1000, 9));
    writeFileSync(join(folder, 'renamed.bin'), large);
    const whole = await withStore(dir, stateOf);
    const random = randomFrom(testSeed('repair from copies'));
    for (const source of [join(folder, 'renamed.bin'), folder, copy]) {
      const pack = largestPack();
      for (let i = 0; i < 5; i++) flip(pack, random(2 * MIB));
      const report = await repairStore(dir, { sources: [source] });
      expect(report, source).toMatchObject({ ok: true, damage: [] });
      expect(report.healed, source).toBeGreaterThan(0);
      await withStore(dir, async (store) => expect(await stateOf(store)).toEqual(whole));
    }
  });

  test('whose footer is lost, with snapshot and nodes in it, is made up for by another store', async () => {
    const copy = join(tempDir(), 'copy');
    cpSync(dir, copy, { recursive: true });
    for (const pack of packs()) truncateSync(pack, statSync(pack).size - 1);
    const alone = await repairStore(dir);
    expect(alone.ok).toBe(false);
    expect(alone.damage.some(({ kind }) => kind === 'snapshot')).toBe(true);
    const report = await repairStore(dir, { sources: [copy] });
    expect(report).toMatchObject({ ok: true, damage: [] });
    await withStore(dir, async (store) => expect(await stateOf(store)).toEqual(state));
  });
});

describe('a dry run of repair', () => {
  test('takes no pack for damaged that a gc deletes beside it', async () => {
    await withStore(dir, async (store) => {
      const main = await store.volumes.fromName('main');
      for (let i = 0; i < 12; i++) {
        await main.writeFile('changing', noise(300_000, 50 + i));
        await main.commit();
      }
      await main.prune({ keepLast: 1 });
      let collecting = true;
      const collected = (async () => {
        while (collecting) await store.gc();
      })();
      try {
        for (let i = 0; i < 5; i++) expect(await repairStore(dir, { dryRun: true })).toMatchObject({ ok: true, damage: [] });
      } finally {
        collecting = false;
        await collected;
      }
      expect(readdirSync(join(dir, 'leases'))).toHaveLength(1);
    });
  });

  test('refuses sources, into which it would not look', async () => {
    expect(codeOf(await failureOf(repairStore(dir, { dryRun: true, sources: [dir] })))).toBe('CAIRN_INVALID_ARGUMENT');
  });
});

describe('repair beside others, and interrupted', () => {
  const isRoot = process.getuid?.() === 0 && spawnSync('unshare', ['-pf', '--mount-proc', 'true']).status === 0;
  if (!isRoot) console.log('not tried: repairs in two pid namespaces, which takes root');
  test.skipIf(!isRoot)(
    'removes what a repair left that is dead, and nothing of one that lives, be it in another pid namespace',
    async () => {
      const input = { dir, volume: 'main', path: 'again', file: largestPack(), baseFile: 'first' };
      // Its lease is what a repair's is: of a process that lives, and whose number is nobody's here.
      const child = Child.start('drafter.mjs', input, 'exec unshare -pf --mount-proc --kill-child "$0" "$@"');
      await child.hears(({ say }) => say === 'ready');
      const [living] = readdirSync(join(dir, 'leases'));
      mkdirSync(join(dir, `index-new-${living}`));
      mkdirSync(join(dir, `index-new-${'ab'.repeat(16)}`));
      expect(await repairStore(dir)).toMatchObject({ ok: true });
      expect(readdirSync(dir).filter((name) => name.startsWith('index-new'))).toEqual([`index-new-${living}`]);
      await child.kill();
    },
  );

  test('a process that has the store open fails at its next change, loses nothing, and goes on when it has opened it again', async () => {
    const child = Child.start('committer.mjs', { dir, volume: 'main', writer: 1, firstStep: 0, commits: 400, seed: 1 });
    while (child.said.length < 20) await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await repairStore(dir)).toMatchObject({ ok: true });
    const ending = await child.ended;
    expect([ending.code === 0, ending.stderr.includes('CAIRN_INDEX_REPLACED')]).toEqual([false, true]);
    const done = child.said.filter(({ say }) => say === 'done').map((said) => (said as unknown as { id: string }).id);
    await withStore(dir, async (store) => {
      const volume = await store.volumes.fromName('main');
      const ids = new Set<string>();
      for await (const { id } of volume.history()) ids.add(id);
      expect(done.filter((id) => !ids.has(id))).toEqual([]);
      expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
      await OPERATIONS['commit']!.run(store, 500, '');
    });
  });

  test.each(['EIO', 'ENOSPC'] as const)('when any disk call fails with %s, repairing again repairs', async (error) => {
    flip(largestPack(), 50_000);
    const damaged = join(tempDir(), 'damaged');
    cpSync(dir, damaged, { recursive: true });
    let expected: string[] | undefined;
    for (let failAt = 1 + randomFrom(testSeed(`repairs that fail with ${error}`))(STRIDE); ; failAt += STRIDE) {
      rmSync(dir, { recursive: true });
      cpSync(damaged, dir, { recursive: true });
      const failure = await failureOf(repairStoreOn({ durable: true, module: FAULTY, options: { failAt, error } }, dir, {}));
      const report = await repairStore(dir);
      const lost = report.damage.map(({ kind, id }) => `${kind} ${id}`).sort();
      expect(lost, `call ${failAt}`).toEqual((expected ??= lost));
      expect(readdirSync(dir).filter((name) => name.startsWith('index-new'))).toEqual([]);
      if (failure === undefined) break;
      expect(codeOf(failure)).toBe(error);
    }
    await withStore(dir, async (store) => {
      const main = await store.volumes.fromName('main');
      expect(await main.readFile('first', 'utf8')).toBe('the first file');
      await OPERATIONS['commit']!.run(store, 600, '');
    });
  });
});
