import { createInterface } from 'node:readline';
import { openStore } from '@cairn/core';
import { input, say } from './say.mjs';

/* Owns a mount and does what it is told to, one order a line: `{ call, options }`. Ends, without closing the mount, when nobody orders any more. */
const { store: dir, folder } = input;
const store = await openStore(dir, { workers: 1 });
const mount = await (await store.volumes.fromName('v')).mount(folder);
say('mounted');
for await (const line of createInterface({ input: process.stdin })) {
  const { call, options } = JSON.parse(line);
  say('begins', { call });
  const { updated, conflicts, added, modified, removed } = await mount[call](options);
  say('done', { call, updated, conflicts, added, modified, removed });
}
await store.close();
