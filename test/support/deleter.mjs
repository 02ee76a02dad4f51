import { openStore } from '@cairn/core';
import { input } from './say.mjs';

/* Deletes a volume. */
const store = await openStore(input.dir, { workers: 1 });
await store.volumes.delete(input.volume);
await store.close();
