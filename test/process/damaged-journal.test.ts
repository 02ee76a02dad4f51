import { openStore, repairStore, type RepairReport, type Store } from '@cairn/core';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { repairStoreOn } from '../../packages/core/dist/store/repair-store.js';
import { Child } from '../support/children.js';
import { everything } from '../support/everything.mjs';
import { codeOf, failureOf } from '../support/failures.js';
import { noise, randomFrom, testSeed } from '../support/random.js';
import { tell } from '../support/tell.js';
import { withStore } from '../support/with-store.js';

const LATE = new URL('../support/late-commit-disk.mjs', import.meta.url).href;
/** A long run damages each file in each way beside each index. */
const ALL = process.env['CAIRN_TEST_FAULTS'] === 'all';
const HOW = ['flipped', 'cut short', 'deleted'] as const;
const INDEX = ['whole', 'missing', 'stale'] as const;

const root = mkdtempSync(join(tmpdir(), 'cairn-test-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const whole = join(root, 'whole');
const dir = join(root, 'store');
const stale = join(root, 'stale-index');
let before: string[];
/** What the store was before its last change. */
let beforeLast: string[];

const below = randomFrom(testSeed('damaged journals'));
const open = (at: string): Promise<Store> => openStore(at, { workers: 1, mergeSmallPacks: false });
const look = (): Promise<string[]> => withStore(dir, everything, open);
const journalFiles = (): string[] => readdirSync(join(dir, 'refs')).sort();
const typeOf = (name: string): string => /"type":"([a-z-]+)"/.exec(readFileSync(join(whole, 'refs', name), 'latin1'))![1]!;

beforeAll(async () => {
  await withStore(
    whole,
    async (store) => {
      const commit = async (name: string, step: number): Promise<void> => {
        const volume = await store.volumes.fromName(name, { createIfMissing: true });
        await volume.writeFile(`file-${step % 3}`, noise(5000, step));
        await volume.commit({ message: `m${step}` });
      };
      for (const step of [0, 1, 2]) await commit('main', step);
      const main = await store.volumes.fromName('main');
      await main.tag('first', 'HEAD~2');
      await store.volumes.fork('main', 'forked');
      await commit('forked', 3);
      cpSync(join(whole, 'index'), stale, { recursive: true, filter: (file) => !file.endsWith('lock.mdb') });
      await commit('main', 4);
      await store.volumes.rename('forked', 'renamed');
      await commit('gone', 5);
      await store.volumes.delete('gone');
      await main.reload();
      await main.tag('second');
      await main.untag('first');
      for (const step of [6, 7]) await commit('main', step);
      await (await store.volumes.fromName('main')).prune({ keepLast: 4 });
      beforeLast = await everything(store);
      await commit('main', 8);
      before = await everything(store);
    },
    open,
  );
});

function restore(index: (typeof INDEX)[number]): void {
  rmSync(dir, { recursive: true, force: true });
  cpSync(whole, dir, { recursive: true, filter: (file) => !file.endsWith('lock.mdb') });
  if (index === 'whole') return;
  rmSync(join(dir, 'index'), { recursive: true });
  if (index === 'stale') cpSync(stale, join(dir, 'index'), { recursive: true });
}

/** What of a store counts, by name. */
const filesOf = (at: string): string[] =>
  ['refs', 'packs'].flatMap((folder) =>
    readdirSync(join(at, folder), { recursive: true, encoding: 'utf8' })
      .map((name) => join(folder, name))
      .filter((name) => statSync(join(at, name)).isFile()),
  );

function damage(name: string, how: (typeof HOW)[number]): void {
  const file = join(dir, 'refs', name);
  const bytes = readFileSync(file);
  if (how === 'deleted') return rmSync(file);
  if (how === 'cut short') return truncateSync(file, below(bytes.length));
  const at = below(bytes.length);
  bytes[at]! ^= 1 << below(8);
  writeFileSync(file, bytes);
}

/** What a repair says, but for what a dry run cannot: the name that the old index gets. */
function told({ ok, damage: found, journal, quarantined }: RepairReport): unknown {
  return { ok, damage: found, journal, quarantined: quarantined.filter((name) => !name.includes('/index-')).sort() };
}

const versions = (lines: readonly string[]): string[] => lines.filter((line) => line.startsWith('file '));

describe('a damaged file of the ref journal', () => {
  const count = 18;
  const cases = INDEX.flatMap((index) => HOW.flatMap((how) => Array.from({ length: count }, (_, at) => ({ index, how, at }))));
  const drawn = ALL ? cases : INDEX.flatMap((index) => Array.from({ length: 2 }, () => ({ index, how: HOW[below(3)]!, at: below(count) })));

  test('takes nothing with it that an index or a pack still tells: heads, tags and histories are as before, and stay so after gc', async () => {
    const done = { exact: 0, kept: 0 };
    for (const { index, how, at } of drawn) {
      restore(index);
      expect(journalFiles()).toHaveLength(count);
      const name = journalFiles()[at]!;
      const what = `${name} (${typeOf(name)}) ${how}, index ${index}`;
      damage(name, how);
      if (index === 'whole') {
        // Nothing is given up that the hole may have named: not before the repair.
        const refused = await withStore(dir, (store) => failureOf(store.gc()), open).catch((error: unknown) => error);
        expect(codeOf(refused), what).toBe('CAIRN_DAMAGED');
      }
      const dry = await repairStore(dir, { dryRun: true });
      const report = await repairStore(dir);
      expect(told(dry), what).toEqual(told(report));
      const after = await look();
      if (index !== 'whole' && how === 'deleted' && at === count - 1) {
        // Nothing tells that there was a change.
        expect(after, what).toEqual(beforeLast);
      } else if (index === 'whole' || typeOf(name) === 'head') {
        expect(after, what).toEqual(before);
        expect(report.journal.missing, what).toBe(1);
        // A version that was deleted or pruned later leaves nothing to find.
        expect(report.ok, what).toBe(report.journal.unknown === 0);
        if (index === 'whole') expect(report.ok, what).toBe(true);
        done.exact++;
      } else {
        const left = new Set(versions(after));
        expect(versions(before).filter((line) => !left.has(line)), what).toEqual([]); // prettier-ignore
        expect(report.ok, what).toBe(report.journal.unknown === 0);
        done.kept++;
      }
      await withStore(dir, (store) => store.gc(), open);
      await withStore(
        dir,
        async (store) => {
          expect(await everything(store), what).toEqual(after);
          expect(await store.verify(), what).toMatchObject({ ok: true });
        },
        open,
      );
      if (ALL) expect(await repairStore(dir), what).toMatchObject({ ok: true, damage: [], journal: { missing: 0, unknown: 0 } });
      // What was damaged is kept.
      expect(readdirSync(join(dir, 'quarantine')).filter((file) => file.startsWith('refs-')), what).toEqual(how === 'deleted' ? [] : [`refs-${name}`]); // prettier-ignore
    }
    tell('damaged journals', done);
    expect(done.exact).toBeGreaterThan(0);
  }, 600_000);

  test('is made up for also when a disk call of the repair fails, or its process is killed at one', async () => {
    const heads = readdirSync(join(whole, 'refs')).sort().filter((name) => typeOf(name) === 'head'); // prettier-ignore
    const stride = ALL ? 1 : 8;
    let failures = 0;
    for (let failAt = 1 + below(stride); ; failAt += stride) {
      restore('whole');
      damage(heads[below(heads.length)]!, 'flipped');
      const how = ['EIO', 'kill', 'tear'][failures % 3]!;
      const { signal, stderr, code } = await Child.start('repairer.mjs', { dir, sources: [], faults: { failAt, error: how } }).ended;
      const report = await repairStore(dir);
      expect(report, `call ${failAt}, ${how}`).toMatchObject({ ok: true, damage: [], journal: { unknown: 0 } });
      expect(await look(), `call ${failAt}, ${how}`).toEqual(before);
      expect(await withStore(dir, (store) => store.verify(), open)).toMatchObject({ ok: true });
      if (signal === null && code === 0) break;
      expect(how === 'EIO' ? stderr : signal, `call ${failAt}, ${how}`).toMatch(how === 'EIO' ? 'EIO' : 'SIGKILL');
      failures++;
    }
    tell('repairs of damaged journals', { failures });
    expect(failures).toBeGreaterThan(1);
  }, 600_000);

  test('is made up for without losing a commit that ends while the new index is put in place', async () => {
    restore('whole');
    const had = new Set(filesOf(dir));
    await withStore(
      dir,
      async (store) => {
        const volume = await store.volumes.fromName('main');
        await volume.writeFile('late', noise(3000, 99));
        await volume.commit({ message: 'late' });
      },
      open,
    );
    const expected = await look();
    const files = join(root, 'late');
    for (const name of filesOf(dir)) if (!had.has(name)) cpSync(join(dir, name), join(files, name));
    restore('whole');
    damage(
      journalFiles().find((name) => typeOf(name) === 'head')!,
      'flipped',
    );
    await repairStoreOn({ durable: true, module: LATE, options: { files } }, dir, {});
    await withStore(dir, async (store) => void (await store.volumes.create('next')), open);
    await withStore(dir, (store) => store.volumes.delete('next'), open);
    expect(await look()).toEqual(expected);
    expect(await repairStore(dir)).toMatchObject({ ok: true, journal: { unknown: 0 } });
    expect(await look()).toEqual(expected);
    expect(await withStore(dir, (store) => store.verify(), open)).toMatchObject({ ok: true });
  });
});
