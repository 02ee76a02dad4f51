import { closeSync, ftruncateSync, openSync, renameSync, writeSync } from 'node:fs';
import { input, say } from './say.mjs';

/*
 * Changes a file without a pause until it is killed. Each block of the file says which version of it this is, so that
 * whoever reads it can tell whether the file ever was as he saw it.
 */
const BLOCK = 4096;
const { path, change, size } = input;
const fd = openSync(path, 'w');
const block = Buffer.alloc(BLOCK);
const blocks = size / BLOCK;

function write(number, version) {
  block.fill(Buffer.from(Uint32Array.of(version).buffer));
  writeSync(fd, block, 0, BLOCK, number * BLOCK);
}

/** Lets somebody else have the processor now and then: short enough that nobody reads a large file meanwhile. */
function breathe() {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 0.1);
}

const CHANGES = {
  /** All blocks in order, each a version on. */
  rewrite() {
    for (let version = 1; ; version++) {
      for (let number = 0; number < blocks; number++) {
        write(number, version);
        if (number % 64 === 63) breathe();
      }
    }
  },
  /** Ever longer; a block's version is its number. */
  grow() {
    for (let number = blocks; ; number++) {
      write(number, number);
      breathe();
    }
  },
  /** Block by block down to the half, then back. */
  shrink() {
    for (;;) {
      for (let number = blocks - 1; number >= blocks / 2; number--) {
        ftruncateSync(fd, number * BLOCK);
        if (number % 16 === 0) breathe();
      }
      for (let number = blocks / 2; number < blocks; number++) {
        write(number, number);
        if (number % 16 === 0) breathe();
      }
    }
  },
  vanish() {
    for (;;) {
      renameSync(path, `${path}.away`);
      breathe();
      renameSync(`${path}.away`, path);
      breathe();
    }
  },
};

for (let number = 0; number < blocks; number++) write(number, change === 'rewrite' ? 0 : number);
if (change === 'vanish') closeSync(fd);
say('begins');
CHANGES[change]();
