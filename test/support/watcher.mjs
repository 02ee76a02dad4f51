import { openStore } from '@cairn/core';
import { input, say } from './say.mjs';

/*
 * Watches a volume, and says the number of each head that it is given. With `stopAfter` it asks for no more heads than that, and
 * closes nothing: what still keeps the process alive then is what it waits for.
 */
const { dir, volume: name, stopAfter } = input;
const store = await openStore(dir, { workers: 1 });
const volume = await store.volumes.fromName(name);
const heads = volume.watch()[Symbol.asyncIterator]();
say('watching');
for (let count = 0; count < stopAfter; count++) say('head', { generation: (await heads.next()).value.generation });
