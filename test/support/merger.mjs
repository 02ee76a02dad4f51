import { readFileSync } from 'node:fs';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { input, say } from './say.mjs';

/* Commits a file to a store with many small packs, which brings these together, on a disk that may kill this process at one of its calls. */
const { dir, path, message, file, faults } = input;
const module = new URL('./faulty-disk.mjs', import.meta.url).href;
const store = await openStoreOn({ durable: false, module, options: { ...faults, counter: new SharedArrayBuffer(4) } }, dir, { workers: 1 });
const volume = await store.volumes.fromName('v');
await volume.writeFile(path, readFileSync(file));
await volume.commit({ message });
say('committed');
await store.close();
