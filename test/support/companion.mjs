import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { createInterface } from 'node:readline';
import { input, say } from './say.mjs';
import { contentOf } from './histories/inspection.mjs';

/*
 * Works beside another process, one order at a time, and says each when it is done: `write` a path, `commit`, `drop` all changes, `open` the
 * newest version and keep it open, `close` the oldest of those, `ephemeral`: begin a volume of its own. `arm`: the `call`-th disk call from
 * then on kills it, of the `kinds` that it was begun with.
 */
const FAIL_AT = 1_000_000;
const counter = new SharedArrayBuffer(4);
const module = new URL('./faulty-disk.mjs', import.meta.url).href;
const options = { failAt: FAIL_AT, error: 'kill', counter, ...(input.kinds === undefined ? {} : { kinds: input.kinds }) };
const store = await openStoreOn({ durable: false, module, options }, input.dir, { workers: 1, mergeSmallPacks: false });
const volume = await store.volumes.fromName(input.volume);
const opened = [];

const ORDERS = {
  write: ({ path, text }) => volume.writeFile(path, contentOf(text)),
  commit: () => volume.commit(),
  drop: () => volume.reload({ discard: true }),
  async open() {
    const newest = await store.volumes.fromName(input.volume);
    if (newest.base !== null) opened.push(await newest.snapshot(newest.base.id));
    await newest.close();
  },
  close: () => opened.shift()?.close(),
  async ephemeral({ text }) {
    const own = await store.volumes.ephemeral();
    await own.writeFile('file', contentOf(text));
    await own.commit();
  },
  arm: ({ call }) => void Atomics.store(new Int32Array(counter), 0, FAIL_AT - call),
};

say('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const { order, ...more } = JSON.parse(line);
  await ORDERS[order](more);
  say(order);
}
for (const snapshot of opened) await snapshot.close();
await volume.close();
await store.close();
