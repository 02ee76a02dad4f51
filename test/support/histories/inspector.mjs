import { createInterface } from 'node:readline';
import { openStore } from '@cairn/core';
import { say } from '../say.mjs';
import { settle } from './inspection.mjs';

/* Opens a store after a power cut, where a bad index may end the process, and says what is there: one order a line. */
for await (const line of createInterface({ input: process.stdin })) {
  const { dir, volume, message, readData } = JSON.parse(line);
  const store = await openStore(dir, { workers: 1 });
  const settled = await settle(store, volume, message, readData);
  await store.close();
  say('settled', settled);
}
