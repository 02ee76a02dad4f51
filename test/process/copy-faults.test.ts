import { lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Volume } from '@cairn/core';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { DISK_ERRORS } from '../support/disk-errors.js';
import { codeOf, failureOf } from '../support/failures.js';
import { KINDS, READS, type FaultyDiskOptions } from '../support/faulty-disk.mjs';
import { tempDir } from '../support/temp-dir.js';

const FAULTY_DISK = new URL('../support/faulty-disk.mjs', import.meta.url).href;
/** Far from what is ever counted: the count is set so that it gets there just in time. */
const FAIL_AT = 1_000_000;
/** What cannot be removed stays behind, and whoever copied need not know. */
const STRICT = [...KINDS.filter((kind) => kind !== 'unlink' && kind !== 'removeFolder'), ...READS];
const IS_LONG = process.env['CAIRN_TEST_FAULTS'] === 'all';

const LARGE = Buffer.alloc(5 << 20, 'a large file ');
const SMALL: Tree = { a: 'a', 'd/b': 'b', 'd/e/c': 'c', link: '-> a', empty: '' };
/** More than a thread alone would be asked for: workers write these, and the large one in parts. */
const MANY: Tree = { ...Object.fromEntries(Array.from({ length: 66 }, (_, i) => [`m/${i}`, `file ${i}`])), large: LARGE.toString() };
const MINE: Tree = { mine: 'mine', 'd/b': 'my b', 'd/mine': 'mine, too' };

/** Files and links by path. */
type Tree = Record<string, string>;

/** A volume on a disk of which any call to come can be made to fail. */
async function faultyVolume(
  error: NonNullable<FaultyDiskOptions['error']>,
): Promise<{ volume: Volume; arm(n: number): void; disarm(): boolean }> {
  const counter = new SharedArrayBuffer(4);
  const count = new Int32Array(counter);
  const options = { error, kinds: STRICT, failAt: FAIL_AT, counter };
  const store = await openStoreOn({ durable: false, module: FAULTY_DISK, options }, join(tempDir(), 'store'), {
    workers: 2,
    mergeSmallPacks: false,
    cacheBytes: 0,
  });
  onTestFinished(() => store.close());
  const volume = await store.volumes.fromName('v', { createIfMissing: true });
  for (const [folder, tree] of Object.entries({ small: SMALL, many: MANY }))
    for (const [path, text] of Object.entries(tree)) {
      if (text.startsWith('-> ')) await volume.symlink(text.slice(3), `${folder}/${path}`);
      else await volume.writeFile(`${folder}/${path}`, text);
    }
  await volume.commit();
  return {
    volume,
    arm: (n) => void Atomics.store(count, 0, FAIL_AT - n),
    disarm: () => Atomics.exchange(count, 0, 0) >= FAIL_AT,
  };
}

function treeOf(dir: string, folder = ''): Tree {
  const found: Tree = {};
  for (const name of lstatSync(join(dir, folder), { throwIfNoEntry: false }) === undefined ? [] : readdirSync(join(dir, folder))) {
    const path = folder === '' ? name : `${folder}/${name}`;
    const stat = lstatSync(join(dir, path));
    if (stat.isDirectory()) Object.assign(found, treeOf(dir, path));
    else found[path] = stat.isSymbolicLink() ? `-> ${readlinkSync(join(dir, path))}` : readFileSync(join(dir, path), 'utf8');
  }
  return found;
}

function write(dir: string, tree: Tree): void {
  for (const [path, text] of Object.entries(tree)) {
    mkdirSync(join(dir, path, '..'), { recursive: true });
    writeFileSync(join(dir, path), text);
  }
}

/** `before`: what the user has there. `stride`: of so many calls of the copy one is failed, each in a run of its own. */
interface Copy {
  source: string;
  to: string;
  force?: boolean;
  before: Tree;
  after: Tree;
  stride: number;
}

const COPIES: Record<string, Copy> = {
  'a folder to a new name': { source: 'small', to: 'new/folder', before: {}, after: under('new/folder', SMALL), stride: 4 },
  'a folder into one that is there': {
    ...{ source: 'small', to: 'there', force: true, stride: 4 },
    ...{ before: under('there', MINE), after: under('there', { ...MINE, ...SMALL }) },
  },
  'a file to a new name': { source: 'small/a', to: 'file', before: {}, after: { file: 'a' }, stride: 4 },
  'a file over another': { source: 'small/a', to: 'file', force: true, before: { file: 'mine' }, after: { file: 'a' }, stride: 4 },
  'a link to a new name': { source: 'small/link', to: 'link', before: {}, after: { link: '-> a' }, stride: 4 },
  'what worker threads bring': { source: 'many', to: 'folder', before: {}, after: under('folder', MANY), stride: 28 },
};

function under(folder: string, tree: Tree): Tree {
  return Object.fromEntries(Object.entries(tree).map(([path, text]) => [`${folder}/${path}`, text]));
}

describe('when a disk call fails while a volume is copied to the local disk', () => {
  test.each(DISK_ERRORS)(
    'by %s, that is told, no file of the user’s is lost, none is there by half, nothing is left over, and the copy works when repeated',
    async (error, code, first) => {
      const { volume, arm, disarm } = await faultyVolume(error);
      const failed: string[] = [];
      for (const [what, { source, to, force = false, before, after, stride }] of Object.entries(COPIES)) {
        let failures = 0;
        const step = IS_LONG ? Math.ceil(stride / 4) : stride;
        for (let n = step === 1 ? 1 : first, fired = true; fired; n += step) {
          const dir = tempDir();
          write(dir, before);
          arm(n);
          const failure = await failureOf(volume.copyToLocal(source, join(dir, to), { force }));
          fired = disarm();
          if (failure === undefined) {
            // A read that brings less than was asked for fails nothing.
            if (error !== 'short') expect(fired, `${what}: call ${n} failed, and nobody was told`).toBe(false);
            expect(treeOf(dir), `${what}, call ${n}`).toEqual(after);
          } else {
            failures++;
            expect(codeOf(failure), `${what}, call ${n}`).toBe(code);
            expect(failure).toHaveProperty('hint');
            const left = treeOf(dir);
            for (const path of Object.keys(before)) expect(left, `${what}, call ${n}`).toHaveProperty([path]);
            for (const [path, text] of Object.entries(left))
              expect([before[path], after[path]], `${what}, call ${n}: ${path}`).toContain(text);
            await volume.copyToLocal(source, join(dir, to), { force });
            expect(treeOf(dir)).toEqual(after);
          }
          rmSync(dir, { recursive: true });
        }
        failed.push(`${what} ${failures}`);
        if (error !== 'short') expect(failures, what).toBeGreaterThan(0);
      }
      console.log(`${error}: ${failed.join(', ')}`);
    },
    300_000,
  );
});
