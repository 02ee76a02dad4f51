import fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openDisk } from '../../packages/core/src/disk/open-disk.js';
import { isCairnError, StoreFormatError } from '../../packages/core/src/errors.js';
import { newPackId } from '../../packages/core/src/pack/pack-id.js';
import { createStoreFolders, readStoreFormat } from '../../packages/core/src/pack/store-format.js';
import { packIdOfName, parseIncomingName, StoreLayout } from '../../packages/core/src/pack/store-layout.js';
import { tempDir } from '../support/temp-dir.js';

describe('the format file', () => {
  it('is written last, names the version and a random id, and stays what the first writer made it', async () => {
    const disk = await openDisk({ durable: true });
    const layout = new StoreLayout(join(tempDir(), 'new', 'store'));
    const first = createStoreFolders(disk, layout);
    expect(first).toEqual({ version: 1, storeId: expect.stringMatching(/^[0-9a-f]{32}$/) as string });
    expect(fs.readFileSync(layout.formatPath, 'utf8')).toBe(`cairn-store 1 ${first.storeId}\n`);
    expect(createStoreFolders(disk, layout)).toEqual(first);
    expect(readStoreFormat(layout)).toEqual(first);
    expect(fs.readdirSync(layout.dir).sort()).toEqual(['format', 'index', 'leases', 'mounts', 'packs', 'refs']);
    expect(fs.statSync(layout.dir).mode & 0o777).toBe(0o700);
    expect(createStoreFolders(disk, new StoreLayout(tempDir())).storeId).not.toBe(first.storeId);
  });

  it('a folder without it, a file, or a format file of something else is no store', () => {
    const dir = tempDir();
    const refused = (layout: StoreLayout): void => {
      expect(() => readStoreFormat(layout)).toThrow(expect.objectContaining({ code: 'CAIRN_NOT_A_STORE' }));
    };
    refused(new StoreLayout(join(dir, 'nothing')));
    refused(new StoreLayout(dir));
    for (const text of ['', 'hello', 'cairn-store 1 xyz\n', `cairn-store 1 ${'a'.repeat(32)}`, `cairn-store 1 ${'a'.repeat(32)}\nmore`]) {
      fs.writeFileSync(join(dir, 'format'), text);
      refused(new StoreLayout(dir));
    }
    refused(new StoreLayout(join(dir, 'format')));
    fs.rmSync(join(dir, 'format'));
    fs.mkdirSync(join(dir, 'format'));
    refused(new StoreLayout(dir));
  });

  it('of a newer version is a format error, whatever else its line says', () => {
    const dir = tempDir();
    for (const text of [`cairn-store 2 ${'a'.repeat(32)}\n`, 'cairn-store 7 what comes in later years\n']) {
      fs.writeFileSync(join(dir, 'format'), text);
      expect(() => readStoreFormat(new StoreLayout(dir))).toThrow(StoreFormatError);
    }
  });

  it('an error on the way leaves a folder that is no store yet, and a second try makes it one', async () => {
    const module = new URL('../support/faulty-disk.mjs', import.meta.url).href;
    const layout = new StoreLayout(join(tempDir(), 'store'));
    let failAt = 1;
    for (; ; failAt++) {
      const disk = await openDisk({
        durable: true,
        module,
        options: { failAt, error: 'EIO', kinds: ['mkdir', 'create', 'write', 'sync', 'link'] },
      });
      try {
        createStoreFolders(disk, layout);
        break;
      } catch (error) {
        expect(isCairnError(error, 'EIO')).toBe(true);
        expect(() => readStoreFormat(layout)).toThrow(expect.objectContaining({ code: 'CAIRN_NOT_A_STORE' }));
      }
    }
    expect(failAt).toBe(9);
    expect(readStoreFormat(layout).version).toBe(1);
  });
});

describe('names in a store', () => {
  it('are parsed back, and strange ones are not', () => {
    const id = newPackId();
    const layout = new StoreLayout('/store');
    expect(packIdOfName(`${id}.pack`)).toBe(id);
    expect(parseIncomingName(layout.incomingPath('lease_1', id).split('/').at(-1)!)).toEqual({ owner: 'lease_1', id });
    for (const name of ['', `${id}`, `${id}.pack.tmp`, `x${id}.pack`, `${id.slice(1)}.pack`, `${id.toUpperCase()}.packs`]) {
      expect(packIdOfName(name)).toBeUndefined();
      expect(parseIncomingName(name)).toBeUndefined();
    }
    for (const owner of ['', '../x', 'a-b', 'a/b']) expect(() => layout.incomingPath(owner, id)).toThrow(RangeError);
  });
});
