import type { Store } from '@cairn/core';
import { createHash } from 'node:crypto';
import { cpSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { repairStoreOn } from '../../packages/core/dist/store/repair-store.js';
import { codeOf } from '../support/failures.js';
import { READS } from '../support/faulty-disk.mjs';
import { FaultyReads } from '../support/faulty-reads.js';
import { OPERATIONS, stateOf, type State } from '../support/operations.mjs';
import { tempDir } from '../support/temp-dir.js';

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
