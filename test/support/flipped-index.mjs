import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync, openSync, readSync, rmSync, writeSync, closeSync } from 'node:fs';
import { isCairnError } from '@cairn/core';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
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
    const { lines, isWhole } = await everything();
    const untrue = lines.filter((line) => !expected.includes(line));
    if (untrue.length === 0 && lines.length === expected.length) say('right', { at });
    else say('differs', { at, isWhole, untrue: untrue.filter((line) => line.startsWith('file ')) });
  } catch (error) {
    say('failed', { at, code: isCairnError(error) ? error.code : `not typed: ${error?.stack ?? error}` });
  }
}

function sha256(bytes) {
  return createHash('sha256').update(bytes).digest('hex');
}

function flip(file, at) {
  const fd = openSync(file, 'r+');
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  byte[0] ^= 1 << (at % 8);
  writeSync(fd, byte, 0, 1, at);
  closeSync(fd);
}

/** Heads, tags, histories and the digests of all files, a line each, and whether verify finds all whole. */
async function everything() {
  const store = await openStoreOn({ durable: false }, input.dir, { workers: 1 });
  try {
    const lines = [];
    for (const { name, generation } of await store.volumes.list()) {
      const volume = await store.volumes.fromName(name, { readOnly: true });
      lines.push(`${name} ${generation} ${JSON.stringify(await volume.tags())}`);
      for await (const { id } of volume.history()) {
        const snapshot = await volume.snapshot(id);
        for (const { path, type } of await snapshot.listdir('', { recursive: true })) {
          const bytes = type === 'file' ? sha256(await snapshot.readFile(path)) : '';
          lines.push(`file ${id} ${path} ${bytes}`);
        }
      }
    }
    const { ok } = await store.verify();
    return { lines, isWhole: ok };
  } finally {
    await store.close();
  }
}
