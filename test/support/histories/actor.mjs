import { createInterface } from 'node:readline';
import { openStoreOn } from '../../../packages/core/dist/store/open-store.js';
import { say } from '../say.mjs';
import { Actor } from './moves.mjs';

/*
 * One of several processes that work on one volume at random. Plays what it is told, one order a line, until there is no more:
 *   { name, dir, volume, seed, moves, weights?, durable?, disk?, local }
 * `moves` is how many; `weights` how often each kind; `disk` options of the faulty disk; `local` a folder for files to upload.
 * Says `try` before each move, and `done` or `failed` after it, with the time of the clock that all processes share.
 */
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  const { durable = true } = order;
  const store = await openStoreOn(diskOf(order, durable), order.dir, { workers: 1 });
  say('opened');
  const actor = new Actor(store, order);
  await actor.play();
  await store.close();
  say('played');
}

function diskOf({ disk }, durable) {
  if (disk === undefined) return { durable };
  const { module = '../faulty-disk.mjs', ...options } = disk;
  return { durable, module: new URL(module, import.meta.url).href, options: { ...options, counter: new SharedArrayBuffer(4) } };
}
