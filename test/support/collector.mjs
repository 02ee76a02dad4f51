import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { input, say } from './say.mjs';

/* Collects a store's garbage, or brings its packs in order, on a disk that may kill this process at one of its calls. */
const { dir, faults, call = 'gc', rounds = 1 } = input;
const module = new URL('./faulty-disk.mjs', import.meta.url).href;
const options = { ...faults, counter: new SharedArrayBuffer(4) };
const store = await openStoreOn({ durable: false, module, options }, dir, { workers: 1 });
say('open', { pid: process.pid });
for (let round = 0; round < rounds; round++) say('done', { report: await store[call]() });
await store.close();
