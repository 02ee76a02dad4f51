import type { Store } from '@cairn/core';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { failureOf } from './failures.js';
import { type FaultyDiskOptions, READS } from './faulty-disk.mjs';
import { OPERATIONS, prepare } from './operations.mjs';
import { tempDir } from './temp-dir.js';

const FAULTY_DISK = new URL('./faulty-disk.mjs', import.meta.url).href;
/** Far from what is ever counted: the count is set so that it gets there just in time. */
const FAIL_AT = 1_000_000;
/** A long run tries every call; else some are passed over where there are many. */
const MANY = process.env['CAIRN_TEST_FAULTS'] === 'all' ? Infinity : 8;

/** A store of which any read to come can be made to fail. Unless told it holds nothing in memory that it could read. */
export class FaultyReads {
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
