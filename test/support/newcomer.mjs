import { openStore } from '@cairn/core';
import { input, say, untilStopped } from './say.mjs';

/* Opens a store that may not be there yet, as others do at this moment, and commits to a volume of everybody's. */
const state = untilStopped();
say('ready');
while (state.running) await new Promise((resolve) => setTimeout(resolve, 1));
const store = await openStore(input.dir, { workers: 1 });
say('opened', { id: store.info().id });
const volume = await store.volumes.fromName('everybody', { createIfMissing: true });
await volume.writeFile(input.name, input.name);
const { snapshot } = await volume.commit();
say('done', { id: snapshot.id });
await store.close();
