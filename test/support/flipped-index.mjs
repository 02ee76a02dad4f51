import { copyFileSync, readFileSync, openSync, readSync, rmSync, writeSync, closeSync } from 'node:fs';
import { isCairnError } from '@cairn/core';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { everything } from './everything.mjs';
import { input, say } from './say.mjs';

/*
 * Opens a store again and again, each time with another bit of its index flipped, and says before each which, and after it what came
 * of reading all: `right`, the code of the error, or `differs`: what was told that is not so, and whether verify finds something
 * wrong then. LMDB may end this process: what was said last tells where.
 */
const expected = readFileSync(input.expected, 'utf8').split('\n');
const data = `${input.dir}/index/data.mdb`;
for (const at of input.positions) {
  copyFileSync(input.whole, data);
  rmSync(`${input.dir}/index/lock.mdb`, { force: true });
  flip(data, at);
  say('trying', { at });
  try {
    const { lines, isWhole } = await look();
    const untrue = lines.filter((line) => !expected.includes(line));
    if (untrue.length === 0 && lines.length === expected.length) say('right', { at });
    else say('differs', { at, isWhole, untrue: untrue.filter((line) => line.startsWith('file ')) });
  } catch (error) {
    say('failed', { at, code: isCairnError(error) ? error.code : `not typed: ${error?.stack ?? error}` });
  }
}

function flip(file, at) {
  const fd = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  byte[0] ^= 1 << (at % 8);
  writeSync(fd, byte, 0, 1, at);
  closeSync(fd);
}

/** What the store tells, and whether verify finds all whole. */
async function look() {
  const store = await openStoreOn({ durable: false }, input.dir, { workers: 1 });
  try {
    const lines = await everything(store);
    const { ok } = await store.verify();
    return { lines, isWhole: ok };
  } finally {
    await store.close();
  }
}
