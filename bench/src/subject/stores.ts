import { openStore } from '@cairn/core';
import type { Store, StoreOptions, Volume } from '@cairn/core';

/** Volume that rows store into. */
export const VOLUME = 'models';

const stores = new Map<string, Store>();

export async function closeStores(): Promise<void> {
  for (const store of stores.values()) await store.close();
  stores.clear();
}

/** The volume {@link VOLUME} of a store that `openStore` opened. */
export async function volumeIn(dir: string, name = VOLUME): Promise<Volume> {
  return storeIn(dir).volumes.fromName(name, { createIfMissing: true });
}

/** A store that `openStore` opened. */
export function storeIn(dir: string): Store {
  const store = stores.get(dir);
  if (store === undefined) throw new Error('the store is not open');
  return store;
}

export const storeOperations = {
  async openStore(dir: string, options: StoreOptions): Promise<void> {
    stores.set(dir, await openStore(dir, options));
  },

  async closeStore(dir: string): Promise<void> {
    await stores.get(dir)?.close();
    stores.delete(dir);
  },

  /** Puts a folder into the root of a volume and commits. @returns milliseconds until the commit is durable */
  async storeFolder(dir: string, source: string, volumeName?: string): Promise<number> {
    const volume = await volumeIn(dir, volumeName);
    const start = performance.now();
    await volume.batchUpload((batch) => batch.putDirectory(source, '/'), { force: true });
    const elapsed = performance.now() - start;
    await volume.close();
    return elapsed;
  },

  async renameInVolume(dir: string, from: string, to: string): Promise<void> {
    const volume = await volumeIn(dir);
    await volume.rename(from, to);
    await volume.commit();
    await volume.close();
  },

  /** Writes the root of the volume's head into an existing empty folder. @returns milliseconds */
  async restoreFolder(dir: string, target: string): Promise<number> {
    const volume = await volumeIn(dir);
    const start = performance.now();
    await volume.copyToLocal('/', target, { force: true });
    const elapsed = performance.now() - start;
    await volume.close();
    return elapsed;
  },

  /** Reads all that is stored again and proves it. @returns milliseconds */
  async verifyStore(dir: string): Promise<number> {
    const store = stores.get(dir);
    if (store === undefined) throw new Error('the store is not open');
    const start = performance.now();
    const { ok, damage } = await store.verify({ readData: true });
    const elapsed = performance.now() - start;
    if (!ok) throw new Error(`${damage.length} damaged objects in a store that nobody touched`);
    return elapsed;
  },
};
