import type { Store } from '@cairn/core';
import { noise } from './random.js';

/** Makes packs that are dead, and such that are partly dead, with nodes and with chunks. */
export async function makeGarbage(store: Store, seed: number): Promise<void> {
  const volume = await store.volumes.fromName('main');
  for (let i = 0; i < 3; i++) {
    await volume.writeFile(`garbage-${i % 2}`, noise(50_000, 10 * seed + i));
    await volume.writeFile('needed', noise(2_000, 10 * seed + i + 5));
    await volume.commit();
  }
  await volume.prune({ keepLast: 1 });
  await volume.close();
}
