import { openStore } from '@cairn/core';
import { input, say } from './say.mjs';

/* Holds an ephemeral volume, with a commit in it, until it is killed. */
const store = await openStore(input.dir, { workers: 1 });
const volume = await store.volumes.ephemeral();
await volume.writeFile('file', 'for now');
await volume.commit();
say('ready');
await new Promise((resolve) => setTimeout(resolve, 600_000));
