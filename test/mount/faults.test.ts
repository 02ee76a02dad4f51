import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { Mount, MountOptions, Store } from '@cairn/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { writeAll } from '../contract/support.js';
import { codeOf, failureOf } from '../support/failures.js';
import { KINDS, type FaultyDiskOptions } from '../support/faulty-disk.mjs';
import { tempDir } from '../support/temp-dir.js';
import { edit, folder, headOf, temporaries } from './support.js';

const FAULTY_DISK = new URL('../support/faulty-disk.mjs', import.meta.url).href;
/** Far from what is ever counted: the count is set so that it gets there just in time. */
const FAIL_AT = 1_000_000;
const STRICT = KINDS.filter((kind) => kind !== 'unlink');
const STRIDE = process.env['CAIRN_TEST_FAULTS'] === 'all' ? 1 : 3;

/** A mounted folder on a disk of which any call to come can be made to fail. */
class FaultyMount {
  readonly folder: string;
  readonly store: Store;
  mount!: Mount;
  private readonly count: Int32Array;

  static async make(error: NonNullable<FaultyDiskOptions['error']>): Promise<FaultyMount> {
    const dir = tempDir();
    const counter = new SharedArrayBuffer(4);
    const options = { error, kinds: STRICT, failAt: FAIL_AT, counter };
    const store = await openStoreOn({ durable: false, module: FAULTY_DISK, options }, join(dir, 'store'), {
      workers: 1,
      // Its calls would be counted, too.
      mergeSmallPacks: false,
    });
    onTestFinished(() => store.close());
    return new FaultyMount(store, join(dir, 'f'), new Int32Array(counter));
  }

  private constructor(store: Store, dir: string, count: Int32Array) {
    this.store = store;
    this.folder = dir;
    this.count = count;
  }

  async commit(files: Record<string, string>): Promise<void> {
    const volume = await this.store.volumes.fromName('v', { createIfMissing: true });
    await writeAll(volume, files);
    await volume.commit();
  }

  async open(options: MountOptions = {}): Promise<void> {
    this.mount = await (await this.store.volumes.fromName('v')).mount(this.folder, options);
  }

  /** Lets the `n`-th call from now on fail. */
  arm(n: number): void {
    Atomics.store(this.count, 0, FAIL_AT - n);
  }

  /** Ends all faults; tells whether there was one. */
  disarm(): boolean {
    return Atomics.exchange(this.count, 0, 0) >= FAIL_AT;
  }

  /** Lets the n-th disk call of `work` fail, for n = 1 and so on until it comes through; after each the work is done again. */
  async failEach(code: string, first: number, before: (i: number) => Promise<void>, work: () => Promise<unknown>): Promise<number> {
    for (let n = first, failures = 0; ; n += STRIDE) {
      await before(n);
      this.arm(n);
      const failure = await failureOf(work());
      const fired = this.disarm();
      if (failure === undefined) {
        expect(fired, `call ${n} failed, and nobody was told`).toBe(false);
        return failures;
      }
      expect(codeOf(failure), `call ${n}`).toBe(code);
      failures++;
      await work();
    }
  }
}

const ERRORS = [
  ['ENOSPC', 'ENOSPC', 1],
  ['EIO', 'EIO', 2],
  ['short', 'ENOSPC', 3],
] as const;

describe.each(ERRORS)(
  'when a disk call fails by %s, it is told, no edit is lost, and the same call works when repeated',
  (error, code, first) => {
    test('mounting', async () => {
      const faulty = await FaultyMount.make(error);
      await faulty.commit({ a: 'a', 'd/b': 'b', 'd/e/c': 'c' });
      const failures = await faulty.failEach(
        code,
        first,
        async () => {
          if ((await failureOf(faulty.open())) === undefined) await faulty.mount.close({ removeFiles: true });
        },
        async () => {
          await faulty.open();
          await faulty.mount.close();
        },
      );
      expect(failures).toBeGreaterThan(1);
      await faulty.open();
      expect(folder(faulty.folder)).toEqual({ a: 'a', 'd/b': 'b', 'd/e/c': 'c' });
      expect(temporaries(faulty.folder)).toEqual([]);
      expect(await faulty.mount.status()).toMatchObject({ added: [], modified: [], removed: [] });
    }, 120_000);

    test('committing', async () => {
      const faulty = await FaultyMount.make(error);
      await faulty.commit({ a: 'a', b: 'b' });
      await faulty.open();
      const failures = await faulty.failEach(
        code,
        first,
        async (i) => {
          edit(faulty.folder, { a: `a ${i}`, [`new/${i}`]: `${i}` });
          await faulty.commit({ b: `theirs ${i}`, [`theirs/${i}`]: 'x' });
        },
        async () => {
          const mine = folder(faulty.folder);
          try {
            await faulty.mount.commit();
          } finally {
            expect(folder(faulty.folder)).toEqual(mine);
          }
          const { b: _b, ...rest } = mine;
          expect(await headOf(await faulty.store.volumes.fromName('v'))).toMatchObject(rest);
        },
      );
      expect(failures).toBeGreaterThan(3);
      expect(await faulty.mount.status()).toMatchObject({ added: [], modified: [], removed: [] });
    }, 120_000);

    test('reloading', async () => {
      const faulty = await FaultyMount.make(error);
      await faulty.commit({ a: 'a', b: 'b', mine: 'x', 'd/e': 'e' });
      await faulty.open();
      edit(faulty.folder, { mine: 'edited', own: 'own' });
      let theirs: Record<string, string> = {};
      const failures = await faulty.failEach(
        code,
        first,
        async (i) => {
          theirs = { a: `a ${i}`, b: 'b', 'd/e': `e ${i}`, [`n${i}/x`]: 'x' };
          await faulty.commit(theirs);
        },
        async () => {
          await faulty.mount.reload();
          expect(folder(faulty.folder)).toMatchObject({ ...theirs, mine: 'edited', own: 'own' });
        },
      );
      expect(failures).toBeGreaterThan(3);
      expect(temporaries(faulty.folder)).toEqual([]);
      expect(await faulty.mount.status()).toMatchObject({ added: ['own'], modified: ['mine'], removed: [], behind: 0 });
    }, 120_000);
  },
);

describe.each(ERRORS.filter(([error]) => STRIDE === 1 || error === 'EIO'))('when a disk call fails by %s', (error, code, first) => {
  test('while a mount is closed with a last commit, the folder keeps what could not be committed, and the next owner commits it', async () => {
    const faulty = await FaultyMount.make(error);
    await faulty.commit({ a: 'a' });
    let failures = 0;
    for (let n = first, fired = true; fired; n += STRIDE) {
      await faulty.open({ backgroundCommit: { intervalMs: 3_600_000 } });
      edit(faulty.folder, { a: `a ${n}`, [`new/${n}`]: 'x' });
      const mine = folder(faulty.folder);
      faulty.arm(n);
      const failure = await failureOf(faulty.mount.close());
      fired = faulty.disarm();
      expect(folder(faulty.folder)).toEqual(mine);
      if (failure !== undefined) {
        failures++;
        expect(codeOf(failure), `call ${n}`).toBe(code);
        expect(failure).toHaveProperty('hint');
        await faulty.open();
        await faulty.mount.commit();
        await faulty.mount.close();
      } else expect(fired, `call ${n} failed, and nobody was told`).toBe(false);
      expect(await headOf(await faulty.store.volumes.fromName('v'))).toEqual(mine);
    }
    expect(failures).toBeGreaterThan(1);
  }, 120_000);

  test('while it is unmounted, the folder stays as it is, a mount or none', async () => {
    const faulty = await FaultyMount.make(error);
    await faulty.commit({ a: 'a', 'd/b': 'b' });
    const shown = { a: 'a', 'd/b': 'b' };
    let failures = 0;
    for (let n = 1, fired = true; fired; n++) {
      await faulty.open();
      faulty.arm(n);
      const failure = await failureOf(faulty.mount.close({ unmount: true }));
      fired = faulty.disarm();
      expect(folder(faulty.folder)).toEqual(shown);
      if (failure !== undefined) {
        failures++;
        expect(codeOf(failure), `call ${n}`).toBe(code);
      } else expect(fired, `call ${n} failed, and nobody was told`).toBe(false);
      if (existsSync(join(faulty.folder, '.cairn-mount', 'id'))) {
        await faulty.open();
        expect(await faulty.mount.status()).toMatchObject({ added: [], modified: [], removed: [] });
        await faulty.mount.close({ removeFiles: true });
      } else rmSync(faulty.folder, { recursive: true });
    }
    expect(failures).toBeGreaterThan(0);
  }, 120_000);
});
