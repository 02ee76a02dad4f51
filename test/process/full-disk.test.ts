import { openStore, type Batch } from '@cairn/core';
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { codeOf, failureOf } from '../support/failures.js';
import { after, OPERATIONS, prepare, stateOf } from '../support/operations.mjs';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';

const MIB = 1 << 20;
const SIZE_MIB = 24;
const PAGE_BYTES = 4096;
/** A small commit and what the index needs for it take fewer. */
const MAX_PAGES = 32;

/** A small file system of the tests' own. @throws where this user may not mount one */
function mountSmall(): string {
  const dir = mkdtempSync(join(tmpdir(), 'cairn-test-full-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_MIB}m`, 'tmpfs', dir], { stdio: 'pipe' });
    return dir;
  } catch (error) {
    rmSync(dir, { recursive: true });
    throw error;
  }
}

function unmount(dir: string): void {
  execFileSync('umount', ['-l', dir]);
  rmSync(dir, { recursive: true });
}

/** Tried before anything runs; the reason is printed where it is refused. */
function mayMount(): boolean {
  try {
    unmount(mountSmall());
    return true;
  } catch (error) {
    console.log(`skipped: no small file system can be mounted: ${(error as Error).message}`);
    return false;
  }
}

let mounted: string;

/** Takes up every byte that is left, but for some pages. Returns how to give it back. */
function fillUp(pagesLeft = 0): () => void {
  const ballast = join(mounted, 'ballast');
  const fd = openSync(ballast, 'wx');
  let length = 0;
  for (let size = MIB; size >= 1;) {
    try {
      const written = writeSync(fd, Buffer.alloc(size, 1));
      length += written;
      if (written < size) size = Math.floor(size / 2);
    } catch (error) {
      expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
      size = Math.floor(size / 2);
    }
  }
  ftruncateSync(fd, length - pagesLeft * PAGE_BYTES);
  closeSync(fd);
  return () => unlinkSync(ballast);
}

async function putPieces(batch: Batch, count: number, bytes: number): Promise<void> {
  for (let i = 0; i < count; i++) await batch.putFile({ data: noise(bytes, i) }, `big/${i}`);
}

describe.skipIf(!mayMount())('on a disk that is really full', () => {
  let dir: string;
  let sources: string;
  beforeAll(async () => {
    mounted = mountSmall();
    dir = join(mounted, 'store');
    sources = join(mkdtempSync(join(tmpdir(), 'cairn-test-full-sources-')), 'sources');
    const store = await openStore(dir, { workers: 2 });
    await prepare(store, sources);
    await store.volumes.create('doomed');
    await store.close();
  });

  afterAll(() => {
    rmSync(join(sources, '..'), { recursive: true });
    unmount(mounted);
  });

  /** More than the disk has, in files of their own. */
  const folderOf = (count: number, bytes: number): string => {
    const folder = tempDir();
    for (let i = 0; i < count; i++) writeFileSync(join(folder, `${i}`), noise(bytes, 77 + i));
    return folder;
  };

  test.each([
    ['a large stream', async (batch: Batch) => batch.putFile({ data: noise(40 * MIB, 1) }, 'big')],
    ['many small pieces of memory', async (batch: Batch) => putPieces(batch, 4000, 10_000)],
    ['a large file', async (batch: Batch) => batch.putDirectory(folderOf(1, 40 * MIB), 'big')],
    ['many files', async (batch: Batch) => batch.putDirectory(folderOf(300, 150_000), 'big')],
  ])(
    'storing more than fits, %s, fails as a whole; what is there can be read, and small changes and deletions work',
    async (what, edit) => {
      const store = await openStore(dir, { workers: 2 });
      try {
        let state = await stateOf(store);
        const volume = await store.volumes.fromName('main');
        const error = await failureOf(volume.batchUpload(edit));
        expect(codeOf(error)).toBe('ENOSPC');
        expect(error).toHaveProperty('hint');
        expect(await stateOf(store)).toEqual(state);
        expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
        expect(readdirSync(join(dir, 'packs', 'incoming'))).toEqual([]);

        const i = what.length;
        for (const name of ['commit', 'create', 'tag', 'rename', 'fork']) {
          await OPERATIONS[name]!.run(store, i, sources);
          state = after(state, name, i);
        }
        await store.volumes.delete(`fork-${i}`);
        delete state[`fork-${i}`];
        expect(await stateOf(store)).toEqual(state);
      } finally {
        await store.close();
      }
    },
  );

  test('to the last byte, or nearly so, a change fails by ENOSPC or is done, and with room again everything goes on', async () => {
    const store = await openStore(dir, { workers: 1 });
    const outcomes: string[] = [];
    try {
      let state = await stateOf(store);
      for (let pages = 0; pages < MAX_PAGES; pages++) {
        for (const name of ['commit', 'create', 'tag']) {
          const i = 1000 + pages;
          const free = fillUp(pages);
          const failure = await failureOf(OPERATIONS[name]!.run(store, i, sources));
          if (failure === undefined) state = after(state, name, i);
          else expect(codeOf(failure), `${name} with room for ${pages} pages`).toBe('ENOSPC');
          outcomes.push(failure === undefined ? '+' : '-');
          expect(await stateOf(store)).toEqual(state);
          free();
        }
        await OPERATIONS['create']!.run(store, pages + 0.5, sources);
        state = after(state, 'create', pages + 0.5);
        expect(await stateOf(store), `after ${pages} pages`).toEqual(state);
      }
      expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
    } finally {
      await store.close();
      rmSync(join(mounted, 'ballast'), { force: true });
    }
    expect(outcomes).toContain('+');
    console.log(`with room for 0, 1, 2, … pages: ${outcomes.join('')}`);
  });

  test('to the last byte can be opened and read, and something can be deleted, in the room that is kept for that', async () => {
    const reserve = (): number => statSync(join(dir, 'reserve'), { throwIfNoEntry: false })?.size ?? 0;
    const kept = reserve();
    expect(kept).toBeGreaterThan(0);
    const free = fillUp();
    const store = await openStore(dir, { workers: 2 });
    try {
      const state = await stateOf(store);
      await store.volumes.delete('doomed');
      delete state['doomed'];
      expect(await stateOf(store)).toEqual(state);
      expect(await store.verify()).toMatchObject({ ok: true, damage: [] });
      free();
      await OPERATIONS['create']!.run(store, 0.25, sources);
      await store.close();
      const again = await openStore(dir, { workers: 1 });
      await OPERATIONS['create']!.run(again, 0.75, sources);
      await again.close();
      expect(reserve()).toBe(kept);
    } finally {
      await store.close();
      rmSync(join(mounted, 'ballast'), { force: true });
    }
  });
});
