import { openStore, type Store } from '@cairn/core';

/** Runs `use` on the store in a folder, and closes it whatever happens. */
export async function withStore<T>(
  dir: string,
  use: (store: Store) => Promise<T>,
  open: (dir: string) => Promise<Store> = (at) => openStore(at, { workers: 2 }),
): Promise<T> {
  const store = await open(dir);
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}
