import fs from 'node:fs';
import path from 'node:path';
import { DamageError, wrapIoError } from '../errors.js';

/*
 * The start of the file that LMDB keeps its data in (its version 2): two meta pages, each with, little-endian,
 *   18  flags 2 (8: a meta page)   24  magic 4   28  version 2   48  page size 4
 */
const AT = { flags: 18, magic: 24, version: 28, pageSize: 48 } as const;
const META_FLAG = 8;
const MAGIC = 0xbeefc0de;
const VERSION = 2;
const HEADER_BYTES = 64;

/**
 * Checks what would make lmdb fail to open an index: after a failed open it ends the process by a segmentation fault.
 * An empty file is a new index. `lock.mdb` is only asked about, never opened (see `IndexEnvironment`).
 * @throws DamageError, or the error of a file that may not be opened.
 */
export function assertOpenable(indexDir: string, readOnly: boolean): void {
  const data = path.join(indexDir, 'data.mdb');
  const lock = path.join(indexDir, 'lock.mdb');
  try {
    const mode = fs.constants.R_OK | (readOnly ? 0 : fs.constants.W_OK);
    fs.accessSync(indexDir, mode);
    if (fs.existsSync(lock)) fs.accessSync(lock, mode);
    if (fs.existsSync(data)) checkHeader(data, readOnly);
  } catch (error) {
    throw wrapIoError(error, 'cannot open the index');
  }
}

function checkHeader(data: string, readOnly: boolean): void {
  const fd = fs.openSync(data, readOnly ? 'r' : 'r+');
  try {
    const { size } = fs.fstatSync(fd);
    if (size === 0) return;
    const first = metaPage(fd, 0);
    const pageSize = first.readUInt32LE(AT.pageSize);
    if (!isMeta(first) || size < 2 * pageSize || !isMeta(metaPage(fd, pageSize))) throw notAnIndex();
  } finally {
    fs.closeSync(fd);
  }
}

function metaPage(fd: number, position: number): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  fs.readSync(fd, header, 0, HEADER_BYTES, position);
  return header;
}

function isMeta(page: Buffer): boolean {
  return (
    (page.readUInt16LE(AT.flags) & META_FLAG) !== 0 && page.readUInt32LE(AT.magic) === MAGIC && page.readUInt16LE(AT.version) === VERSION
  );
}

function notAnIndex(): DamageError {
  const id = 'index/data.mdb';
  return new DamageError(`${id} is damaged: it does not begin as an index does`, [{ kind: 'index', id, affects: [] }]);
}
