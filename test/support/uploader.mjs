import { openStore } from '@cairn/core';
import { input, say } from './say.mjs';

/* Uploads a folder as one batch. Says `stored` whenever more of it is in the store for good, and `done` after the commit. */
const store = await openStore(input.dir, { workers: 2 });
const volume = await store.volumes.fromName(input.volume);
const onProgress = ({ bytes, newBytes }) => say('stored', { bytes, newBytes });
const result = await volume.batchUpload((batch) => batch.putDirectory(input.source, 'models'), { onProgress });
say('done', { id: result.snapshot.id, bytes: result.bytes });
await store.close();
