import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { createInterface } from 'node:readline';
import { readFileSync } from 'node:fs';
import { input, say } from './say.mjs';

/* Has changes of a volume that are not committed, and does with them what it is told: `commit`, `drop`, `read` what it opened before. */
const module = new URL('./faulty-disk.mjs', import.meta.url).href;
const disk = { durable: false, module, options: { ...input.faults, counter: new SharedArrayBuffer(4) } };
const store = await openStoreOn(disk, input.dir, { workers: 1 });
const volume = await store.volumes.fromName(input.volume);
const base = await volume.snapshot('HEAD');
await volume.writeFile(input.path, readFileSync(input.file));
say('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const { order } = JSON.parse(line);
  if (order === 'commit') await volume.commit();
  else if (order === 'drop') await volume.reload({ discard: true });
  else await base.readFile(input.baseFile);
  say(order);
}
await base.close();
await store.close();
