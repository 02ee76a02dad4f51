import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import type { Disk } from '../disk/disk.js';
import { removeFile } from '../disk/trees.js';
import { CairnError } from '../errors.js';
import { readIfThere, replaceFile } from './durable-file.js';
import { type FolderPlaces, isMountId, type MountId, RESERVED_NAME } from './places.js';

/** What DIR/.cairn-mount/id says: one line of JSON, `{"cairnMount":1,"id":"…","store":"…"}`. */
export interface FolderId {
  id: MountId;
  /** Where the store was when the folder was mounted. */
  store: string;
}

const MAX_BYTES = 1 << 16;

/** Undefined for a folder that is no mount, or whose making was cut short. */
export function readFolderId(places: FolderPlaces): FolderId | undefined {
  const bytes = readIfThere(places.idFile);
  if (bytes === undefined || bytes.byteLength > MAX_BYTES) return undefined;
  try {
    const { cairnMount, id, store } = JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>;
    return cairnMount === 1 && isMountId(id) && typeof store === 'string' ? { id, store } : undefined;
  } catch {
    return undefined;
  }
}

/** Makes a folder a mount; the one that it is already when another process was first. */
export function claimFolder(disk: Disk, places: FolderPlaces, store: string): FolderId {
  const mine: FolderId = { id: randomBytes(16).toString('hex') as MountId, store };
  disk.mkdir(places.reserved);
  const temporary = `${places.idFile}-${mine.id}`;
  try {
    replaceFile(disk, temporary, Buffer.from(`${JSON.stringify({ cairnMount: 1, id: mine.id, store })}\n`));
    disk.link(temporary, places.idFile);
    disk.syncDirectory(places.reserved);
    return mine;
  } catch (error) {
    // Whoever was first may have cleared away our temporary file, too.
    const first = readFolderId(places);
    if (first === undefined || !['EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    return first;
  } finally {
    removeFile(disk, temporary);
  }
}

/** Whether nobody has put anything into a folder. */
export function isEmptyFolder(dir: string): boolean {
  return fs.readdirSync(dir).every((name) => name === RESERVED_NAME);
}

export function notAMount(dir: string): CairnError {
  return new CairnError('CAIRN_NOT_A_MOUNT', `'${dir}' is no mounted folder`, {
    hint: "mount a volume there: volume.mount(dir) or 'cairn mount VOL DIR'",
  });
}
