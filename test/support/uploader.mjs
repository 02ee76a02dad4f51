import { openStore } from '@cairn/core';
import { input, say } from './say.mjs';

/* Uploads a folder as one batch. Says `stored` as it goes on, and `done` after the commit. */
const store = await openStore(input.dir, { workers: 2 });
const volume = await store.volumes.fromName(input.volume);
const onProgress = ({ bytes }) => say('stored', { bytes });
const result = await volume.batchUpload((batch) => batch.putDirectory(input.source, 'models'), { onProgress });
say('done', { id: result.snapshot.id, bytes: result.bytes });
await store.close();
