import type { Store } from '@cairn/core';
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { repairStoreOn } from '../../packages/core/dist/store/repair-store.js';
import { codeOf, failureOf } from '../support/failures.js';
import { type FaultyDiskOptions, READS } from '../support/faulty-disk.mjs';
import { OPERATIONS, prepare, stateOf, type State } from '../support/operations.mjs';
import { tempDir } from '../support/temp-dir.js';

const FAULTY_DISK = new URL('../support/faulty-disk.mjs', import.meta.url).href;
/** Far from what is ever counted: the count is set so that it gets there just in time. */
const FAIL_AT = 1_000_000;
/** A long run tries every call; else some are passed over where there are many. */
const MANY = process.env['CAIRN_TEST_FAULTS'] === 'all' ? Infinity : 8;

/** A store of which any read to come can be made to fail. Unless told it holds nothing in memory that it could read. */
class FaultyReads {
  readonly dir = join(tempDir(), 'store');
  readonly sources = join(tempDir(), 'sources');
  readonly spec: { durable: false; module: string; options: FaultyDiskOptions };
  private readonly count: Int32Array;

  constructor(error: NonNullable<FaultyDiskOptions['error']>, kinds: readonly string[] = READS) {
    const counter = new SharedArrayBuffer(4);
    this.count = new Int32Array(counter);
    this.spec = { durable: false, module: FAULTY_DISK, options: { error, kinds, failAt: FAIL_AT, counter } };
  }

  open(cacheBytes = 0): Promise<Store> {
    return openStoreOn(this.spec, this.dir, { workers: 2, cacheBytes, mergeSmallPacks: false });
  }

  /** A store with some of everything in it. */
  async filled(cacheBytes?: number): Promise<Store> {
    const store = await this.open(cacheBytes);
    onTestFinished(() => store.close());
    await prepare(store, this.sources);
    await OPERATIONS['stream']!.run(store, 1, this.sources);
    await OPERATIONS['upload']!.run(store, 2, this.sources);
    return store;
  }

  /**
   * Lets the first read of `work` fail, in the next round the second, and so on until it comes through without; returns what it
   * failed with each time. Where there are many, some rounds are left out.
   */
  async failEach<T>(work: () => Promise<T>, afterwards: (failure: unknown, result: T | undefined) => Promise<void>): Promise<number> {
    for (let n = 1, failures = 0; ; n += failures < MANY ? 1 : n >> 1) {
      let result: T | undefined;
      Atomics.store(this.count, 0, FAIL_AT - n);
      const failure = await failureOf((async () => void (result = await work()))());
      const fired = Atomics.exchange(this.count, 0, 0) >= FAIL_AT;
      if (fired) failures++;
      await afterwards(failure, result);
      if (!fired) return failures;
    }
  }
}

/** What a store can be asked for, with answers that tell whether all is there. */
const READINGS: { [name: string]: (store: Store, scratch: string) => Promise<unknown> } = {
  state: (store) => stateOf(store, new Map()),
  'a small file': async (store) => digest(await (await store.volumes.fromName('main')).readFile('folder/second')),
  'a large file': async (store) => digest(await (await store.volumes.fromName('main')).readFile('streamed')),
  'a large file to where it is wanted': async (store) => {
    const target = new Uint8Array(4_300_000);
    await (await store.volumes.fromName('main')).readInto({ path: 'streamed', target });
    return digest(target);
  },
  'a folder to disk': async (store, scratch) => {
    const to = join(scratch, 'copy');
    rmSync(to, { recursive: true, force: true });
    await (await store.volumes.fromName('main')).copyToLocal('upload', to);
    return readdirSync(to)
      .sort()
      .map((name) => [name, digest(readFileSync(join(to, name)))]);
  },
  'verify of all bytes': (store) => store.verify({ readData: true }),
  usage: (store) => store.usage(),
};

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

describe('when a read fails', () => {
  test.each([
    ['EIO', READS],
    ['EMFILE', ['list']],
  ] as const)(
    'by %s, whichever it is, the call fails with that code or brings what it should; nothing is damaged',
    async (error, kinds) => {
      const faulty = new FaultyReads(error, kinds);
      const store = await faulty.filled();
      const scratch = tempDir();
      for (const [name, read] of Object.entries(READINGS)) {
        const expected = await read(store, scratch);
        const failures = await faulty.failEach(
          () => read(store, scratch),
          async (failure, result) => {
            if (failure === undefined) expect(result, name).toEqual(expected);
            else {
              expect(codeOf(failure), name).toBe(error);
              expect(failure).toHaveProperty('hint');
            }
          },
        );
        if (kinds === READS) expect(failures, name).toBeGreaterThan(0);
        expect(await read(store, scratch), name).toEqual(expected);
      }
    },
    300_000,
  );

  test('in what changes a store, the change fails as a whole, and works when repeated', async () => {
    const faulty = new FaultyReads('EIO');
    // What a commit has just written it has in memory, unless nothing may be there.
    const store = await faulty.filled(8 << 20);
    let i = 10;
    for (const name of ['commit', 'upload', 'spill', 'fork', 'prune'] as const) {
      let before: State = {};
      const { run, before: first } = OPERATIONS[name]!;
      await first?.(store, ++i);
      before = await stateOf(store);
      await faulty.failEach(
        () => run(store, i, faulty.sources),
        async (failure) => {
          if (failure !== undefined) {
            expect(codeOf(failure), name).toBe('EIO');
            expect(await stateOf(store), name).toEqual(before);
          }
          await run(store, ++i, faulty.sources);
          await first?.(store, ++i);
          before = await stateOf(store);
        },
      );
    }
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
  }, 300_000);

  test('while a store is opened, it is said, and the next one opens it', async () => {
    const faulty = new FaultyReads('EIO');
    const filled = await faulty.filled();
    const expected = await stateOf(filled);
    await filled.close();
    const failures = await faulty.failEach(
      async () => {
        const store = await faulty.open();
        try {
          return await stateOf(store, new Map());
        } finally {
          await store.close();
        }
      },
      async (failure, result) => {
        if (failure === undefined) expect(result).toEqual(expected);
        else expect(codeOf(failure)).toBe('EIO');
      },
    );
    expect(failures).toBeGreaterThan(3);
  }, 300_000);

  test('a repair gives up: what cannot be read is not damaged, and nothing is set aside', async () => {
    const faulty = new FaultyReads('EIO');
    const filled = await faulty.filled();
    const expected = await stateOf(filled);
    await filled.close();
    const whole = join(tempDir(), 'whole');
    cpSync(faulty.dir, whole, { recursive: true });
    const failures = await faulty.failEach(
      () => repairStoreOn(faulty.spec, faulty.dir, {}),
      async (failure, report) => {
        if (failure === undefined) expect(report).toMatchObject({ ok: true, damage: [] });
        else expect(codeOf(failure)).toBe('EIO');
        const aside = join(faulty.dir, 'quarantine');
        const names = readdirSync(faulty.dir).includes('quarantine') ? readdirSync(aside) : [];
        expect(names.filter((name) => name.endsWith('.pack'))).toEqual([]);
        expect(readdirSync(faulty.dir).filter((name) => name.startsWith('index-new'))).toEqual([]);
      },
    );
    expect(failures).toBeGreaterThan(10);
    const store = await faulty.open();
    onTestFinished(() => store.close());
    expect(await stateOf(store)).toEqual(expected);
  }, 300_000);
});

test('reads that bring less than was asked for are gone on with', async () => {
  const faulty = new FaultyReads('short', ['read']);
  const store = await faulty.filled();
  const scratch = tempDir();
  for (const [name, read] of Object.entries(READINGS)) {
    const expected = await read(store, scratch);
    const shortened = await faulty.failEach(
      () => read(store, scratch),
      async (failure, result) => {
        expect(failure, name).toBeUndefined();
        expect(result, name).toEqual(expected);
      },
    );
    expect(shortened, name).toBeGreaterThan(0);
  }
}, 300_000);
