import { createInterface } from 'node:readline';
import { openStoreOn } from '../../../packages/core/dist/store/open-store.js';
import { say } from '../say.mjs';
import { Actor } from './moves.mjs';

/*
 * One of several processes that work on one volume at random. Plays what it is told, one order a line, until there is no more:
 *   { name, dir, volume, seed, moves, seconds?, pauseMs?, weights?, durable?, disk?, without?, local }
 * `moves` is how many, at most, and none is begun after so many `seconds`; `weights` how often each kind; `disk` options of the faulty disk; `local` a folder for files to upload.
 * Says `try` before each move, and `done` or `failed` after it, with the time of the clock that all processes share.
 */
let open;
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  // To open a store takes longer than to play in it.
  if (open?.dir !== order.dir) {
    await open?.store.close();
    open = { dir: order.dir, store: await openStoreOn(diskOf(order), order.dir, { workers: 1 }) };
  }
  await new Actor(open.store, order).play();
  say('played');
}
await open?.store.close();

function diskOf({ disk, durable = true, without }) {
  if (disk === undefined) return { durable, without };
  const { module = '../faulty-disk.mjs', ...options } = disk;
  return { durable, module: new URL(module, import.meta.url).href, options: { ...options, counter: new SharedArrayBuffer(4) } };
}
