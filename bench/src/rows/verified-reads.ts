import { join } from 'node:path';
import type { Context } from '../context.js';
import type { Dataset } from '../datasets/dataset.js';
import type { Subject } from '../subject/client.js';
import { openFreshStore } from './cairn.js';
import type { InProcess } from './cairn.js';

/** Names of contestants that read with one worker or two, verified or not. */
export const names = {
  worker: (workers: number): string => `cairn, ${workers} worker${workers === 1 ? '' : 's'}`,
  verified: (workers: number): string => `${names.worker(workers)}, verified`,
  unverified: (workers: number): string => `${names.worker(workers)}, unverified`,
};

/** The data in two stores, raw: one that reads with one worker, one with two, each in a process of its own. */
export async function oneAndTwoWorkers(
  context: Context,
  dir: string,
  data: Dataset,
  subjects: readonly [one: Subject, two: Subject],
): Promise<InProcess[]> {
  const stores = subjects.map((subject, number): InProcess => {
    const workers = number + 1;
    return { context, subject, name: names.worker(workers), dir: join(dir, String(workers)), workers, compression: 'none' };
  });
  for (const store of stores) {
    await openFreshStore(store);
    await store.subject.call('storeFolder', store.dir, data.dir);
  }
  return stores;
}
