import type { Store } from '@cairn/core';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual as isEqual } from 'node:util';
import { describe, expect, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { DISK_ERRORS } from '../support/disk-errors.js';
import { codeOf, failureOf } from '../support/failures.js';
import { KINDS, type FaultyDiskOptions } from '../support/faulty-disk.mjs';
import { makeGarbage } from '../support/garbage.js';
import { after, OPERATIONS, prepare, stateOf } from '../support/operations.mjs';
import { tempDir } from '../support/temp-dir.js';

const FAULTY_DISK = new URL('../support/faulty-disk.mjs', import.meta.url).href;

/** Calls that must not fail unseen. An unfinished file that stays behind is harmless, so `unlink` may. */
const STRICT = KINDS.filter((kind) => kind !== 'unlink');

/** A store on a disk of which any call to come can be made to fail. */
class FaultyStore {
  readonly sources: string;
  private readonly dir: string;
  private readonly options: FaultyDiskOptions;
  private readonly counter = new SharedArrayBuffer(4);
  private readonly count = new Int32Array(this.counter);
  private readonly broken = new SharedArrayBuffer(4);
  private opened: Store | undefined;

  /** Far from what is ever counted: the count is set so that it gets there just in time. */
  private static readonly FAIL_AT = 1_000_000;

  static async make(options: FaultyDiskOptions): Promise<FaultyStore> {
    const faulty = new FaultyStore(tempDir(), options);
    await prepare(await faulty.open(), faulty.sources);
    return faulty;
  }

  private constructor(dir: string, options: FaultyDiskOptions) {
    this.dir = join(dir, 'store');
    this.sources = join(dir, 'sources');
    this.options = { ...options, failAt: FaultyStore.FAIL_AT, counter: this.counter, broken: this.broken };
  }

  get store(): Store {
    return this.opened!;
  }

  async open(): Promise<Store> {
    this.opened = await openStoreOn({ durable: false, module: FAULTY_DISK, options: this.options }, this.dir, {
      workers: 2,
      // Its calls would be counted, too.
      mergeSmallPacks: false,
    });
    return this.opened;
  }

  /** A new engine, with new threads. */
  async reopen(): Promise<Store> {
    await this.store.close();
    return this.open();
  }

  /** Lets the `n`-th call from now on be the first that fails. */
  arm(n: number): void {
    Atomics.store(this.count, 0, FaultyStore.FAIL_AT - n);
  }

  /** Ends all faults; tells whether there was one. */
  disarm(): boolean {
    return Atomics.exchange(this.count, 0, 0) >= FaultyStore.FAIL_AT;
  }

  /** A sync that failed is never made good by another one: the file of which it was is given up. */
  expectNothingBrokenPlaced(): void {
    expect(Atomics.load(new Int32Array(this.broken), 0)).toBe(0);
  }

  async expectWhole(): Promise<void> {
    expect(await this.store.verify()).toMatchObject({ ok: true, damage: [] });
  }
}

/** Each kind of fault takes its share of the calls, so that all of them together take every one; in a long run each takes all. */
const SHARES = process.env['CAIRN_TEST_FAULTS'] === 'all' ? 1 : 7;
let number = 0;

/**
 * Lets one disk call of an operation fail, the `first`, and in other runs the one `SHARES` later and so on, until it runs
 * through; after each failure the store must be as before, and the same operation work. Returns how often it failed.
 */
async function failCalls(faulty: FaultyStore, name: string, first: number, code: string): Promise<number> {
  const operation = OPERATIONS[name]!;
  for (let n = first, failures = 0; ; n += SHARES) {
    const i = ++number;
    await operation.before?.(faulty.store, i);
    const before = await stateOf(faulty.store);
    faulty.arm(n);
    const failure = await failureOf(operation.run(faulty.store, i, faulty.sources));
    const fired = faulty.disarm();
    if (failure !== undefined) {
      failures++;
      expect(codeOf(failure), `${name}, call ${n}`).toBe(code);
      expect(failure).toHaveProperty('hint');
      // Now and then in a new engine: what the old one holds in memory must not matter.
      if (failures === 1 && i % 8 === 0) {
        await faulty.reopen();
        await faulty.expectWhole();
      }
      expect(await stateOf(faulty.store)).toEqual(before);
      await operation.run(faulty.store, i, faulty.sources);
    } else expect(fired, `call ${n} of ${name} failed, and nobody was told`).toBe(false);
    expect(await stateOf(faulty.store)).toEqual(after(before, name, i));
    if (!fired) return failures;
  }
}

describe('when a disk call fails', () => {
  test.each(DISK_ERRORS)(
    'by %s, whichever it is, the operation fails with a typed error, the store is as before, and the operation works when repeated',
    async (error, code, first) => {
      const faulty = await FaultyStore.make({ error, kinds: STRICT });
      const failures: { [name: string]: number } = {};
      for (const name of Object.keys(OPERATIONS)) {
        failures[name] = await failCalls(faulty, name, SHARES === 1 ? 1 : first, code);
        expect(failures[name], name).toBeGreaterThan(0);
      }
      faulty.expectNothingBrokenPlaced();
      const before = await stateOf(faulty.store);
      await faulty.reopen();
      expect(await stateOf(faulty.store)).toEqual(before);
      expect(await faulty.store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
      await faulty.store.close();
      console.log(
        `${error}: ${Object.entries(failures)
          .map((entry) => entry.join(' '))
          .join(', ')}`,
      );
    },
    300_000,
  );

  test.each(
    (
      [
        ['ENOSPC', 1, STRICT],
        ['EIO', 2, STRICT],
        ['EMFILE', 3, STRICT],
        ['short', 4, STRICT],
        ['EIO', 1, ['unlink']],
      ] as const
    ).filter(([error]) => SHARES === 1 || error === 'ENOSPC' || error === 'EIO'),
  )(
    'by %s while a store is collected or optimized, that succeeds or tells, nothing is lost, and the next one ends what it began',
    async (error, first, kinds) => {
      const faulty = await FaultyStore.make({ error, kinds });
      const failures = { gc: 0, optimize: 0 };
      // There are few files to delete.
      const step = kinds === STRICT ? SHARES : 1;
      for (const call of ['gc', 'optimize'] as const) {
        for (let n = SHARES === 1 ? 1 : first, fired = true; fired; n += step) {
          await makeGarbage(faulty.store, n);
          const before = await stateOf(faulty.store);
          faulty.arm(n);
          const failure = await failureOf(faulty.store[call]());
          fired = faulty.disarm();
          if (failure !== undefined) {
            failures[call]++;
            expect(codeOf(failure), `${call}, call ${n}`).toBe(error === 'short' ? 'ENOSPC' : error);
            expect(failure).toHaveProperty('hint');
          }
          expect(await stateOf(faulty.store)).toEqual(before);
          await faulty.store[call]();
          expect(await stateOf(faulty.store)).toEqual(before);
        }
        // What a disk that is full has no room for is left as it was.
        if (error !== 'ENOSPC' && error !== 'short') expect(failures[call]).toBeGreaterThan(0);
      }
      faulty.expectNothingBrokenPlaced();
      await faulty.reopen();
      await faulty.store.gc();
      const { stored, unreachable } = await faulty.store.usage();
      expect(unreachable).toBeLessThanOrEqual(0.05 * stored);
      expect(await faulty.store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
      // Of what was deleted no file is left.
      const files = readdirSync(join(faulty.store.info().dir, 'packs'), { recursive: true, encoding: 'utf8' });
      expect(files.filter((name) => name.endsWith('.pack')).length).toBe((await faulty.store.verify()).packs);
      await faulty.store.close();
      console.log(`${error}: ${failures.gc} of gc, ${failures.optimize} of optimize`);
    },
    300_000,
  );

  test.each((['EIO', 'ENOSPC'] as const).filter((error) => SHARES === 1 || error === 'EIO'))(
    'by %s of a lease, the operation fails with a typed error and has changed nothing, or works',
    async (error) => {
      const faulty = await FaultyStore.make({ error, leases: 'only', times: 2 });
      const collections = { gc: { run: (store: Store) => store.gc() }, optimize: { run: (store: Store) => store.optimize() } };
      let told = 0;
      const names = [...Object.keys(OPERATIONS), ...Object.keys(collections)];
      for (const name of names.filter((_, i) => i % SHARES === 0)) {
        const operation = { ...OPERATIONS[name], ...(collections as Record<string, object>)[name] } as (typeof OPERATIONS)[string];
        for (let n = 1, fired = true; fired; n++) {
          const i = ++number;
          await operation.before?.(faulty.store, i);
          const before = await stateOf(faulty.store);
          // In a new engine, which has to make itself known.
          if (n % 2 === 1) await faulty.reopen();
          faulty.arm(n);
          const failure = await failureOf(operation.run(faulty.store, i, faulty.sources));
          fired = faulty.disarm();
          if (failure !== undefined) {
            told++;
            expect(codeOf(failure), `${name}, call ${n}`).toBe(error);
          }
          const expected = failure !== undefined || name in collections ? before : after(before, name, i);
          expect(await stateOf(faulty.store), `${name}, call ${n}`).toEqual(expected);
        }
      }
      await faulty.reopen();
      expect(await faulty.store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
      await faulty.store.close();
      console.log(`${error} of leases: told ${told} times`);
    },
    300_000,
  );

  test('while an unfinished file is deleted, nobody needs to know', async () => {
    const faulty = await FaultyStore.make({ error: 'EIO', kinds: ['unlink'] });
    for (const name of Object.keys(OPERATIONS)) {
      for (let n = 1, fired = true; fired; n++) {
        const i = ++number;
        await OPERATIONS[name]!.before?.(faulty.store, i);
        const before = await stateOf(faulty.store);
        faulty.arm(n);
        await OPERATIONS[name]!.run(faulty.store, i, faulty.sources);
        fired = faulty.disarm();
        expect(await stateOf(faulty.store)).toEqual(after(before, name, i));
      }
    }
    await faulty.reopen();
    await faulty.expectWhole();
    await faulty.store.close();
  }, 300_000);

  /** What undoes a failure can fail as well; then the change may stand, but the store must go on. */
  test.each([
    [2, 1],
    [4, 3],
  ])(
    'and the next %i minus one as well, the operation has happened or it has not, and the store goes on',
    async (times, stride) => {
      const faulty = await FaultyStore.make({ error: 'EIO', times });
      let stood = 0;
      for (const name of ['commit', 'stream', 'tag', 'delete']) {
        for (let n = 1, fired = true; fired; n += stride) {
          const i = ++number;
          await OPERATIONS[name]!.before?.(faulty.store, i);
          const before = await stateOf(faulty.store);
          faulty.arm(n);
          const failure = await failureOf(OPERATIONS[name]!.run(faulty.store, i, faulty.sources));
          fired = faulty.disarm();
          expect([undefined, 'EIO'], `${name}, call ${n}`).toContain(codeOf(failure));
          // A change that was left in the journal counts from the next one on.
          await OPERATIONS['create']!.run(faulty.store, i + 0.5, faulty.sources);
          const state = await stateOf(faulty.store);
          const [old, done] = [before, after(before, name, i)].map((state) => after(state, 'create', i + 0.5));
          const stands = failure !== undefined && isEqual(state, done);
          if (stands) stood++;
          expect(state, `${name}, call ${n}`).toEqual(failure === undefined || stands ? done : old);
        }
      }
      faulty.expectNothingBrokenPlaced();
      await faulty.reopen();
      expect(await faulty.store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
      await faulty.store.close();
      console.log(`${times} in a row: ${stood} changes stood although their call failed`);
    },
    300_000,
  );
});
