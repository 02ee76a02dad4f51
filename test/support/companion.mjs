import { isCairnError } from '@cairn/core';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { createInterface } from 'node:readline';
import { input, say } from './say.mjs';
import { contentOf, filesOf } from './histories/inspection.mjs';

/*
 * Works beside another process, one order at a time, and says each when it is done, or with the code of what it failed with: `write` a path,
 * `commit`, `drop` all changes, `open` the newest version and keep it open, `read` all that is open, `close` the oldest of those, `ephemeral`:
 * begin a volume of its own, `claim` what only one may who collects. `arm`: the `call`-th disk call from then on kills it, or what else its `faults` are. `disarm` tells whether it came to that. Says `refused` when it cannot open the store.
 */
const FAIL_AT = 1_000_000;
const counter = new SharedArrayBuffer(4);
const count = new Int32Array(counter);
const module = new URL('./faulty-disk.mjs', import.meta.url).href;
const options = { failAt: FAIL_AT, error: 'kill', counter, ...input.faults };
const store = await openStoreOn({ durable: false, module, options }, input.dir, { workers: 1, mergeSmallPacks: false }).catch((error) => {
  if (!isCairnError(error)) throw error;
  say('refused', { code: error.code });
  process.exit();
});
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
  async read() {
    for (const snapshot of opened) await filesOf(snapshot);
  },
  close: () => opened.shift()?.close(),
  async ephemeral({ text }) {
    const own = await store.volumes.ephemeral();
    await own.writeFile('file', contentOf(text));
    await own.commit();
  },
  claim: () => store.engine.publisher.claimCollection({ first: true }),
  arm: ({ call }) => void Atomics.store(count, 0, FAIL_AT - call),
  disarm: () => ({ fired: Atomics.exchange(count, 0, 0) >= options.failAt }),
};

say('ready');
for await (const line of createInterface({ input: process.stdin })) {
  const { order, ...more } = JSON.parse(line);
  try {
    const told = await ORDERS[order](more);
    say(order, order === 'disarm' ? told : {});
  } catch (error) {
    if (!isCairnError(error)) throw error;
    say(order, { code: error.code });
  }
}
for (const snapshot of opened) await snapshot.close();
await volume.close();
await store.close();
