import { accessSync, constants, existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Disk } from '../disk/disk.js';
import { CairnError, wrapIoError } from '../errors.js';
import type { StoreFormat } from '../pack/store-format.js';
import { createStoreFolders, readStoreFormat } from '../pack/store-format.js';
import { StoreLayout } from '../pack/store-layout.js';
import { refuseNetworkFileSystem } from './network-file-system.js';

/** Names that a store being made, or one whose making was cut short, may hold already. */
const STORE_NAMES = /^(format(\..*)?|packs|refs|mounts|leases|index)$/;

/** The one name of a store's folder, whether it exists yet or not: engines are shared by it. */
export function realStorePath(dir: string): string {
  const path = resolve(dir);
  let existing = path;
  while (!existsSync(existing) && dirname(existing) !== existing) existing = dirname(existing);
  return resolve(realpathSync(existing), path.slice(existing.length).replace(/^[/\\]+/, ''));
}

/**
 * Finds, or makes, the store in a folder.
 * @throws CairnError `CAIRN_STORE_NOT_FOUND`, `CAIRN_NOT_A_STORE`, `CAIRN_NETWORK_FILE_SYSTEM`; StoreFormatError
 */
export function prepareStoreDir(
  dir: string,
  disk: Disk,
  options: { create: boolean; allowNetworkFileSystem: boolean },
): { layout: StoreLayout; format: StoreFormat } {
  const layout = new StoreLayout(dir);
  try {
    const names = existsSync(dir) ? folderNames(dir) : undefined;
    if (names?.includes('format') === true) {
      if (!options.allowNetworkFileSystem) refuseNetworkFileSystem(dir);
      return { layout, format: readStoreFormat(layout) };
    }
    if (!options.create) {
      throw new CairnError('CAIRN_STORE_NOT_FOUND', `there is no store at '${dir}'`, {
        hint: "check the path, or make one: openStore(dir), or 'cairn volume create NAME'",
      });
    }
    const foreign = names?.find((name) => !STORE_NAMES.test(name));
    if (foreign !== undefined) {
      throw new CairnError('CAIRN_NOT_A_STORE', `'${dir}' is no store, and not empty (it holds '${foreign}')`, {
        hint: 'choose an empty or new folder',
      });
    }
    makeFolder(disk, dir);
    if (!options.allowNetworkFileSystem) refuseNetworkFileSystem(dir);
    return { layout, format: createStoreFolders(disk, layout) };
  } catch (error) {
    throw wrapIoError(error, `cannot open the store '${dir}'`);
  }
}

function makeFolder(disk: Disk, dir: string): void {
  try {
    disk.mkdir(dir);
  } catch (error) {
    // A file on the way there, or a link that leads nowhere.
    if (!['ENOTDIR', 'EEXIST', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) throw error;
    throw new CairnError('CAIRN_NOT_A_STORE', `no folder can be made at '${dir}'`, {
      hint: 'a file or a broken link is in the way: choose another path',
      cause: error,
    });
  }
}

function folderNames(dir: string): string[] {
  if (!statSync(dir).isDirectory()) {
    throw new CairnError('CAIRN_NOT_A_STORE', `'${dir}' is a file`, { hint: 'a store is a folder: choose another path' });
  }
  return readdirSync(dir);
}

/** A store on a read-only disk, or of another user, can still be read. */
export function isWritable(dir: string): boolean {
  try {
    accessSync(dir, constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
