import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DiskSpec } from '../disk/disk.js';
import { openDisk } from '../disk/open-disk.js';
import { makeTemporaryFolder, removeTree } from '../disk/trees.js';
import type { Store, StoreOptions } from '../types.js';
import { shareEngine } from './engine-registry.js';
import { StoreEngine } from './engine.js';
import { realStorePath } from './open-dir.js';
import { StoreHandle } from './store.js';

/**
 * Opens the store in a folder, or makes it there. All handles of one process on one folder share an engine, with the
 * options of the first; any number of processes may have it open.
 * @throws CairnError `CAIRN_STORE_NOT_FOUND` with `create: false` or `readOnly`, `CAIRN_NOT_A_STORE` for a folder of something else,
 * `CAIRN_NETWORK_FILE_SYSTEM`; StoreFormatError for a newer format; DamageError when the index is lost or old
 */
export function openStore(dir: string, options: StoreOptions = {}): Promise<Store> {
  return openStoreOn({ durable: true }, dir, options);
}

/** A store in a new folder that is deleted on close. For tests: nothing is synced, and nothing survives a power cut. */
export async function openTemporaryStore(options: StoreOptions = {}): Promise<Store> {
  const spec = { durable: false };
  const disk = await openDisk(spec);
  const dir = makeTemporaryFolder(disk, join(tmpdir(), 'cairn-'));
  const remove = (): void => removeTree(disk, dir);
  try {
    return await openStoreOn(spec, dir, options, remove);
  } catch (error) {
    remove();
    throw error;
  }
}

/** @internal The same on any disk: tests inject faults by it. */
export async function openStoreOn(
  disk: DiskSpec,
  dir: string,
  options: StoreOptions = {},
  afterClose: () => void = () => undefined,
): Promise<Store> {
  const path = realStorePath(dir);
  const { engine, release } = await shareEngine(path, async () => {
    const opened = await StoreEngine.open(path, { ...options, disk });
    if (options.readOnly !== true) opened.clearUp();
    return opened;
  });
  let closing: Promise<void> | undefined;
  return new StoreHandle(engine, () => (closing ??= release().then(afterClose)), options);
}
