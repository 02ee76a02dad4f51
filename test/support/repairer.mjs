import { repairStoreOn } from '../../packages/core/dist/store/repair-store.js';
import { input, say } from './say.mjs';

/* Repairs a store on a disk that kills this process at one of its calls. Says `done` when it has come through. */
const module = new URL('./faulty-disk.mjs', import.meta.url).href;
const options = { ...input.faults, counter: new SharedArrayBuffer(4) };
const { ok } = await repairStoreOn({ durable: false, module, options }, input.dir, { sources: input.sources });
say('done', { ok });
