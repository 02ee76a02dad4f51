// Entry of the measured process: runs what its parent asks for, one at a time, and ends when the parent disconnects.
import { blobCacheOperations } from './blob-cache.js';
import { commitOperations } from './commits.js';
import { limitOperations } from './limits.js';
import { closeModels, modelOperations } from './models.js';
import { mountOperations } from './mounts.js';
import { readOperations } from './reads.js';
import { closeStores, storeOperations } from './stores.js';

const operations = {
  ...storeOperations,
  ...readOperations,
  ...commitOperations,
  ...blobCacheOperations,
  ...limitOperations,
  ...mountOperations,
  ...modelOperations,
};

/** What a parent can ask for, by name. Arguments and results pass between processes by structured clone. */
export type Operations = typeof operations;

export type Reply = { readonly ok: true; readonly result: unknown } | { readonly ok: false; readonly message: string };

interface Call {
  readonly name: keyof Operations;
  readonly args: readonly unknown[];
}

async function answer({ name, args }: Call): Promise<Reply> {
  try {
    const operation = operations[name] as (this: void, ...given: readonly unknown[]) => Promise<unknown>;
    return { ok: true, result: await operation(...args) };
  } catch (error) {
    return { ok: false, message: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

process.on('message', (call: Call) => {
  void answer(call).then((reply) => process.send?.(reply));
});
process.once('disconnect', () => void closeModels().then(closeStores));
