import { isCairnError, openStore } from '@cairn/core';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, unlinkSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { after, prepare, stateOf } from '../support/operations.mjs';
import { noise } from '../support/random.js';

const MIB = 1 << 20;
const SIZE_MIB = 24;

/** A small file system of its own; undefined, with the reason printed, where this user may not mount one. */
function mountSmall(): string | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'cairn-test-full-'));
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${SIZE_MIB}m`, 'tmpfs', dir], { stdio: 'pipe' });
    return dir;
  } catch (error) {
    rmSync(dir, { recursive: true });
    console.log(`skipped: no small file system could be mounted: ${(error as Error).message}`);
    return undefined;
  }
}

const mounted = mountSmall();

afterAll(() => {
  if (mounted === undefined) return;
  execFileSync('umount', ['-l', mounted]);
  rmSync(mounted, { recursive: true });
});

/** Takes up every byte that is left. */
function fill(path: string): void {
  const fd = openSync(path, 'wx');
  try {
    for (let size = MIB; size >= 1; ) {
      try {
        if (writeSync(fd, Buffer.alloc(size, 1)) < size) size /= 2;
      } catch (error) {
        expect((error as NodeJS.ErrnoException).code).toBe('ENOSPC');
        size = Math.floor(size / 2);
      }
    }
  } finally {
    closeSync(fd);
  }
}

describe.skipIf(mounted === undefined)('on a disk that is really full', () => {
  let dir: string;
  let sources: string;
  beforeAll(async () => {
    dir = join(mounted!, 'store');
    sources = join(mkdtempSync(join(tmpdir(), 'cairn-test-full-sources-')), 'sources');
    const store = await openStore(dir, { workers: 2 });
    await prepare(store, sources);
    await store.volumes.create('doomed');
    await store.close();
  });

  afterAll(() => rmSync(join(sources, '..'), { recursive: true }));

  test.each([
    ['one large file', 1, 40 * MIB],
    ['many files', 4000, 10_000],
  ])('storing more than fits, %s, fails as a whole; what is there can be read, and small changes work', async (_what, count, bytes) => {
    const store = await openStore(dir, { workers: 2 });
    try {
      const before = await stateOf(store);
      const volume = await store.volumes.fromName('main');
      const put = async (): Promise<unknown> =>
        volume.batchUpload(async (batch) => {
          for (let i = 0; i < count; i++) await batch.putFile({ data: noise(bytes, i) }, `big/${i}`);
        });
      const error: unknown = await put().catch((failure: unknown) => failure);
      expect(isCairnError(error, 'ENOSPC'), String(error)).toBe(true);
      expect(await stateOf(store)).toEqual(before);
      expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
    } finally {
      await store.close();
    }
  });

  test('to the last byte, every change fails by ENOSPC or is done, reading works, and with some room again everything goes on', async () => {
    const ballast = join(mounted!, 'ballast');
    fill(ballast);
    const store = await openStore(dir, { workers: 2 });
    try {
      let state = await stateOf(store);
      const volume = await store.volumes.fromName('main');
      await volume.writeFile('more', noise(300_000, 3));
      const outcomes: string[] = [];
      for (const [name, change] of [
        ['commit', () => volume.commit()],
        ['create', () => store.volumes.create('created-1')],
        ['tag', () => volume.tag('tag-1')],
      ] as const) {
        const failure = await change().then(() => undefined, (error: unknown) => error);
        if (failure === undefined) state = after(state, name, 1);
        else expect(isCairnError(failure, 'ENOSPC'), `${name}: ${String(failure)}`).toBe(true);
        outcomes.push(`${name} ${failure === undefined ? 'done' : 'refused'}`);
        expect(await stateOf(store)).toEqual(state);
      }
      console.log(outcomes.join(', '));
      expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });

      unlinkSync(ballast);
      const { snapshot } = await volume.commit({ message: 'room again' });
      expect(snapshot.message).toBe('room again');
      expect(await volume.readFile('more')).toEqual(noise(300_000, 3));
      expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
    } finally {
      await store.close();
    }
  });

  test('to the last byte, volumes can still be deleted', async () => {
    const ballast = join(mounted!, 'ballast');
    fill(ballast);
    const store = await openStore(dir, { workers: 2 });
    try {
      await store.volumes.delete('doomed');
      expect((await store.volumes.list()).map(({ name }) => name)).not.toContain('doomed');
      expect(await store.verify()).toMatchObject({ ok: true, damage: [] });
    } finally {
      await store.close();
      unlinkSync(ballast);
    }
  });
});
