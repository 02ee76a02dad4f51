import { openTemporaryStore, openStore, type Batch, type Store, type Volume } from '@cairn/core';
import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Child } from '../support/children.js';
import { codeOf, failureOf } from '../support/failures.js';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';

const BLOCK = 4096;
const MIB = 1 << 20;

let store: Store;
let volume: Volume;

beforeAll(async () => {
  store = await openTemporaryStore({ workers: 2 });
  volume = await store.volumes.fromName('v', { createIfMissing: true });
  await volume.writeFile('old', 'old');
  await volume.commit();
});

afterAll(() => store.close());

const put = (edit: (batch: Batch) => Promise<void>): Promise<unknown> => volume.batchUpload(edit, { force: true });

/** The error of an upload after which all is as it was; undefined when it succeeded. */
async function uploadFailure(edit: (batch: Batch) => Promise<void>): Promise<unknown> {
  const before = (await store.volumes.info('v')).head;
  const failure = await failureOf(put(edit));
  if (failure !== undefined) expect((await store.volumes.info('v')).head).toBe(before);
  return failure;
}

/** Versions of a file's blocks; the last one may be cut off. */
function versionsOf(bytes: Uint8Array): number[] {
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2);
  const versions: number[] = [];
  for (let at = 0; at < words.length; at += BLOCK / 4) {
    const block = words.subarray(at, at + BLOCK / 4);
    expect(
      block.every((word) => word === block[0]),
      'a block that was half written',
    ).toBe(true);
    versions.push(block[0]!);
  }
  return versions;
}

/** Whether a file that is changed in this way can ever have looked so. */
function everWas(change: string, bytes: Uint8Array): boolean {
  const versions = versionsOf(bytes);
  if (change !== 'rewrite') return versions.every((version, number) => version === number);
  const [first, last] = [versions[0]!, versions.at(-1)!];
  return (
    first - last <= 1 && versions.every((version, number) => version === first || (version === last && number >= versions.indexOf(last)))
  );
}

describe('a source that another process changes while it is stored', () => {
  test.each(
    ['rewrite', 'grow', 'shrink', 'vanish'].flatMap((change): [string, number][] => [
      [change, 200 * 1024],
      [change, 6 * MIB],
      [change, 20 * MIB],
    ]),
  )('(%s, %i bytes) is stored as it was at one moment, or is a typed error and nothing is published', async (change, size) => {
    const path = join(tempDir(), 'source');
    const writer = Child.start('restless.mjs', { path, change, size });
    await writer.hears(({ say }) => say === 'begins');
    const codes: string[] = [];
    for (let attempt = 0; attempt < 2; attempt++) {
      const failure = await uploadFailure((batch) => batch.putFile(path, 'source'));
      if (failure === undefined) expect(everWas(change, await volume.readFile('source'))).toBe(true);
      codes.push(codeOf(failure) ?? 'stored');
      if (failure !== undefined) expect(failure).toMatchObject({ path });
    }
    await writer.kill();
    for (const code of codes)
      expect(change === 'vanish' ? ['stored', 'ENOENT', 'CAIRN_SOURCE_CHANGED'] : ['stored', 'CAIRN_SOURCE_CHANGED']).toContain(code);
    // So long a file is never left alone while it is read.
    if (change !== 'vanish' && size >= 20 * MIB) expect(codes).not.toContain('stored');

    if (change === 'vanish') writeFileSync(path, noise(size, 1));
    await put((batch) => batch.putFile(path, 'source'));
    expect(Buffer.compare(await volume.readFile('source'), readFileSync(path))).toBe(0);
    console.log(`${change}, ${size} bytes: ${codes.join(', ')}`);
  });

  /** Many files go through the workers. */
  const folderOf = (files: number): string => {
    const dir = tempDir();
    for (let i = 0; i < files; i++) writeFileSync(join(dir, `file-${i}`), noise(5000, i));
    return dir;
  };

  test.each([5, 100])('and one of %i files that is gone when its turn comes is named, and nothing is published', async (files) => {
    const dir = folderOf(files);
    const gone = join(dir, 'file-3');
    const failure = await uploadFailure(async (batch) => {
      await batch.putDirectory(dir, 'folder');
      rmSync(gone);
    });
    expect(failure).toMatchObject({ code: 'ENOENT', path: gone });
    expect(await volume.exists('folder')).toBe(false);
  });

  test.each([5, 100])('and one of %i files that became something else is named, and nothing is published', async (files) => {
    const dir = folderOf(files);
    const path = join(dir, 'file-3');
    const replaced = (make: () => void): Promise<unknown> =>
      uploadFailure(async (batch) => {
        await batch.putDirectory(dir, 'folder');
        rmSync(path);
        make();
      });
    expect(await replaced(() => mkdirSync(path))).toMatchObject({ code: 'EISDIR', path });
    rmSync(path, { recursive: true });
    writeFileSync(path, 'a file again');
    expect(await replaced(() => execFileSync('mkfifo', [path]))).toMatchObject({ code: 'EINVAL', path });
    expect(await volume.exists('folder')).toBe(false);
  });

  test.each([5, 100])('and files of %i that grew or shrank before their turn are stored as they are then', async (files) => {
    const dir = folderOf(files);
    await put(async (batch) => {
      await batch.putDirectory(dir, `changed-${files}`);
      appendFileSync(join(dir, 'file-1'), noise(9 * MIB, 9));
      truncateSync(join(dir, 'file-2'), 0);
    });
    for (let i = 0; i < files; i++) {
      expect(Buffer.compare(await volume.readFile(`changed-${files}/file-${i}`), readFileSync(join(dir, `file-${i}`))), `file-${i}`).toBe(
        0,
      );
    }
  });
});

describe('a process that may open too few files', () => {
  test.each([
    ['from its start', false],
    ['once its threads run', true],
  ])('%s, gets typed errors until it may, and leaks none', async (_when, warm) => {
    const dir = join(tempDir(), 'store');
    const sources = tempDir();
    // More than one thread can hold in memory: packs and sources are open at the same time.
    for (let i = 0; i < 80; i++) writeFileSync(join(sources, `file-${i}`), noise(80_000, i));
    const setUp = await openStore(dir, { workers: 1 });
    await setUp.volumes.create('v');
    await setUp.close();
    const said = await Child.start('few-files.mjs', { dir, sources, warm }, 'ulimit -n 200').succeeds();
    const tried = said.filter(({ say }) => say === 'tried') as unknown as { left: number; outcome: string; message: string }[];
    console.log(tried.map(({ left, outcome }) => `${left}: ${outcome}`).join(', '));
    for (const { outcome, message } of tried.slice(0, -1)) expect(outcome, message).toBe('EMFILE');
    expect(tried.at(-1)!.outcome).toBe('stored');
    const open = said.find(({ say }) => say === 'open') as unknown as { before: number; after: number };
    if (warm) expect(open.after).toBeLessThanOrEqual(open.before + 2);

    const store = await openStore(dir, { workers: 2 });
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true, damage: [] });
    expect((await (await store.volumes.fromName('v')).listdir('files')).length).toBe(80);
    await store.close();
  });
});
