import { existsSync, lstatSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Mount, MountOptions, Store } from '@cairn/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { DISK_ERRORS } from '../support/disk-errors.js';
import { codeOf, failureOf } from '../support/failures.js';
import { KINDS, type FaultyDiskOptions } from '../support/faulty-disk.mjs';
import { tempDir } from '../support/temp-dir.js';
import { edit, folder, headOf, temporaries } from './support.js';

const FAULTY_DISK = new URL('../support/faulty-disk.mjs', import.meta.url).href;
/** Far from what is ever counted: the count is set so that it gets there just in time. */
const FAIL_AT = 1_000_000;
const STRICT = KINDS.filter((kind) => kind !== 'unlink');
const STRIDE = process.env['CAIRN_TEST_FAULTS'] === 'all' ? 1 : 4;

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

  /** Commits as somebody else; `-> x` is a symlink, null removes. */
  async commit(files: Record<string, string | null>): Promise<void> {
    const volume = await this.store.volumes.fromName('v', { createIfMissing: true });
    for (const [path, text] of Object.entries(files)) {
      if (text === null) await volume.remove(path, { recursive: true, allowMissing: true });
      else if (text.startsWith('-> ')) await volume.remove(path, { allowMissing: true }).then(() => volume.symlink(text.slice(3), path));
      else await volume.writeFile(path, text);
    }
    await volume.commit();
  }

  /** What the folder shows; nothing where there is none yet. */
  shown(): Record<string, string> {
    return existsSync(this.folder) ? folder(this.folder) : {};
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

  /**
   * Lets the n-th disk call of `work` fail, for n = 1 and so on until it comes through; after each the work is done again. `before` says
   * what the folder is to show then: until then each name leads to what it led to before, or to that.
   */
  async failEach(
    code: string,
    first: number,
    before: (i: number) => Promise<Record<string, string>>,
    work: () => Promise<unknown>,
  ): Promise<number> {
    for (let n = first, failures = 0; ; n += STRIDE) {
      const wanted = await before(n);
      const was = this.shown();
      this.arm(n);
      const failure = await failureOf(work());
      const fired = this.disarm();
      if (failure === undefined) {
        expect(fired, `call ${n} failed, and nobody was told`).toBe(false);
        return failures;
      }
      expect(codeOf(failure), `call ${n}`).toBe(code);
      failures++;
      for (const [path, text] of Object.entries(this.shown()))
        if (text !== '/') expect([was[path], wanted[path]], `call ${n}: ${path}`).toContain(text);
      await work();
    }
  }
}

describe.each(DISK_ERRORS)(
  'when a disk call fails by %s, it is told, no edit is lost, and the same call works when repeated',
  (error, code, first) => {
    test.each([
      ['mounting', false],
      ['mounting for reading only', true],
    ])(
      '%s',
      async (_what, readOnly) => {
        const faulty = await FaultyMount.make(error);
        const files = { a: 'a', 'd/b': 'b', 'd/e/c': 'c', link: '-> a' };
        await faulty.commit(files);
        const failures = await faulty.failEach(
          code,
          first,
          async () => {
            if ((await failureOf(faulty.open({ readOnly }))) === undefined) await faulty.mount.close({ removeFiles: true });
            return files;
          },
          async () => {
            await faulty.open({ readOnly });
            await faulty.mount.close();
          },
        );
        expect(failures).toBeGreaterThan(1);
        await faulty.open({ readOnly });
        expect(folder(faulty.folder)).toEqual(files);
        for (const path of ['', 'a', 'd', 'd/b'])
          expect(lstatSync(join(faulty.folder, path)).mode & 0o222).toBe(readOnly ? 0 : 0o222 & ~process.umask());
        expect(temporaries(faulty.folder)).toEqual([]);
        expect(await faulty.mount.status()).toMatchObject({ added: [], modified: [], removed: [] });
      },
      120_000,
    );

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
          return folder(faulty.folder);
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
          theirs = { a: `a ${i}`, b: 'b', 'd/e': `e ${i}`, [`n${i}/x`]: 'x', link: `-> ${i}` };
          await faulty.commit({ ...theirs, [`n${i - STRIDE}`]: null });
          return { ...theirs, mine: 'edited', own: 'own' };
        },
        async () => {
          await faulty.mount.reload();
          expect(folder(faulty.folder)).toEqual({ ...theirs, mine: 'edited', own: 'own' });
        },
      );
      expect(failures).toBeGreaterThan(3);
      expect(temporaries(faulty.folder)).toEqual([]);
      expect(await faulty.mount.status()).toMatchObject({ added: ['own'], modified: ['mine'], removed: [], behind: 0 });
    }, 120_000);
  },
);

describe.each(DISK_ERRORS.filter(([error]) => STRIDE === 1 || error === 'EIO'))('when a disk call fails by %s', (error, code, first) => {
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

  test('while it is unmounted with its files, none looks deleted, what is not of the mount stays, and the rest can be removed', async () => {
    const faulty = await FaultyMount.make(error);
    const files = { a: 'a', 'd/b': 'b', 'd/e/c': 'c', link: '-> a' };
    await faulty.commit(files);
    const log = join(faulty.folder, 'd', 'x.log');
    let failures = 0;
    for (let n = 1, fired = true; fired; n++) {
      await faulty.open({ ignore: ['*.log'], readOnly: n % 2 === 0 });
      if (n % 2 === 1) writeFileSync(log, 'mine');
      faulty.arm(n);
      const failure = await failureOf(faulty.mount.close({ removeFiles: true }));
      fired = faulty.disarm();
      if (failure !== undefined) {
        failures++;
        expect(codeOf(failure), `call ${n}`).toBe(code);
        expect(failure).toHaveProperty('hint');
        // Where not even the look for changes came through, it is open still; else it says the same again.
        await failureOf(faulty.mount.close({ removeFiles: true }));
      } else expect(fired, `call ${n} failed, and nobody was told`).toBe(false);
      if (n % 2 === 1) expect(folder(faulty.folder)).toHaveProperty(['d/x.log'], 'mine');
      else if (failure === undefined) expect(existsSync(faulty.folder)).toBe(false);
      if (existsSync(join(faulty.folder, '.cairn-mount', 'id'))) {
        await faulty.open({ ignore: ['*.log'] });
        expect(await faulty.mount.status()).toMatchObject({ removed: [] });
        await faulty.mount.close({ removeFiles: true });
      }
      rmSync(faulty.folder, { recursive: true, force: true });
      expect(await headOf(await faulty.store.volumes.fromName('v'))).toEqual(files);
    }
    expect(failures).toBeGreaterThan(0);
  }, 120_000);
});
