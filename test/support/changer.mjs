import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { OPERATIONS } from './operations.mjs';
import { input, say } from './say.mjs';

/* Carries out operations, one after another, on a disk that kills this process at one of its calls. Says `try` before each change and `done` after it. */
const { dir, sources, names, first, faults } = input;
const module = new URL('./faulty-disk.mjs', import.meta.url).href;
const options = { ...faults, counter: new SharedArrayBuffer(4) };
const store = await openStoreOn({ durable: true, module, options }, dir, { workers: 2 });
for (const [at, name] of names.entries()) {
  const i = first + at;
  for (const part of ['before', 'run']) {
    const change = OPERATIONS[name][part];
    if (change === undefined) continue;
    say('try', { name, i, part });
    await change(store, i, sources);
    say('done', { name, i, part });
  }
}
await store.close();
