import type { StatsFs } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { openStoreOn } from '../../packages/core/src/store/open-store.js';
import { tempDir } from '../support/temp-dir.js';

/** What `statfs` says that the file system is; undefined for the truth. No test machine has all of these. */
const reported = vi.hoisted(() => ({ type: undefined as number | undefined }));

vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const statfsSync = (path: string): StatsFs => {
    const stat = fs.statfsSync(path);
    return reported.type === undefined ? stat : Object.assign(stat, { type: reported.type });
  };
  return { ...fs, statfsSync };
});

afterEach(() => {
  reported.type = undefined;
});

describe.skipIf(process.platform !== 'linux')('a store on a network file system', () => {
  it.each([
    ['NFS', 0x6969],
    // As a signed 32-bit number, the way some systems report it.
    ['CIFS', 0xff534d42 | 0],
    ['9p', 0x01021997],
    ['FUSE', 0x65735546],
  ])('is refused on %s, and left as it was; it opens where the caller takes the risk', async (name, type) => {
    const dir = tempDir();
    reported.type = type;
    const refused = openStoreOn({ durable: true }, dir, {});
    await expect(refused).rejects.toMatchObject({ code: 'CAIRN_NETWORK_FILE_SYSTEM', message: expect.stringContaining(name) as string });
    const store = await openStoreOn({ durable: true }, dir, { allowNetworkFileSystem: true });
    expect(await store.volumes.list()).toEqual([]);
    await store.close();
    await expect(openStoreOn({ durable: true }, dir, {})).rejects.toMatchObject({ code: 'CAIRN_NETWORK_FILE_SYSTEM' });
    reported.type = undefined;
    await (await openStoreOn({ durable: true }, dir, { create: false })).close();
  });
});
