import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import type { Disk } from '../disk/disk.js';
import { reads } from '../disk/reads.js';
import { writeNewFile } from '../disk/write-file.js';
import { CairnError, StoreFormatError, wrapIoError } from '../errors.js';
import type { StoreLayout } from './store-layout.js';

/** Version of the store's layout and of the rules that bind its parts; each file format has a version of its own. */
export const STORE_VERSION = 1;

const LINE = /^cairn-store (\d{1,9}) ([0-9a-f]{32})\n$/;
/** More than any version's line: a wrong file is not read whole. */
const MAX_BYTES = 256;

export interface StoreFormat {
  version: number;
  /** 128 random bits as 32 hex digits: tells a store from its copy-in-place successor. */
  storeId: string;
}

/**
 * Makes the folders of a new store, then the `format` file: a folder without it is no store yet. Where another
 * process makes the same store at the same time, one of the two ids wins, for both.
 */
export function createStoreFolders(disk: Disk, layout: StoreLayout): StoreFormat {
  for (const folder of [layout.incomingDir, layout.refsDir, layout.indexDir, layout.mountsDir, layout.leasesDir]) disk.mkdir(folder);
  const storeId = randomBytes(16).toString('hex');
  const temporary = `${layout.formatPath}.${storeId}`;
  writeNewFile(disk, temporary, Buffer.from(`cairn-store ${STORE_VERSION} ${storeId}\n`));
  linkUnlessThere(disk, temporary, layout.formatPath);
  disk.unlink(temporary);
  disk.syncDirectory(layout.dir);
  return readStoreFormat(layout);
}

/**
 * @throws CairnError `CAIRN_NOT_A_STORE` where there is no `format` file, or something else under that name.
 * @throws StoreFormatError for a store of a newer version.
 */
export function readStoreFormat(layout: StoreLayout): StoreFormat {
  const text = readStart(layout.formatPath);
  const match = text === undefined ? null : LINE.exec(text);
  if (match === null) {
    const newer = text === undefined ? null : /^cairn-store (\d{1,9}) /.exec(text);
    if (newer !== null && Number(newer[1]) > STORE_VERSION) throw newerStore(layout.dir, newer[1]!);
    throw new CairnError('CAIRN_NOT_A_STORE', `${layout.dir} holds no Cairn store`, {
      hint: 'check the path, or create a store there by opening it with create: true',
    });
  }
  const version = Number(match[1]);
  if (version !== STORE_VERSION) throw newerStore(layout.dir, match[1]!);
  return { version, storeId: match[2]! };
}

function newerStore(dir: string, version: string): StoreFormatError {
  return new StoreFormatError(
    `the store ${dir} has format version ${version}; this version of Cairn knows ${STORE_VERSION}`,
    'open it with the version of Cairn that wrote it, or a newer one',
  );
}

function readStart(file: string): string | undefined {
  try {
    const fd = reads.openSync(file);
    try {
      const bytes = Buffer.alloc(MAX_BYTES);
      return bytes.toString('latin1', 0, reads.readSync(fd, bytes, 0, MAX_BYTES, 0));
    } finally {
      fs.closeSync(fd);
    }
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EISDIR'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw wrapIoError(error, `cannot read ${file}`);
  }
}

function linkUnlessThere(disk: Disk, from: string, to: string): void {
  try {
    disk.link(from, to);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}
