import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createHasher } from '../../packages/core/dist/hash/blake3.js';
import { decodeState, encodeState } from '../../packages/core/dist/mount/state.js';

const hasher = createHasher('auto');

/** Lets the mounts of a store believe that the machine has started anew since. */
export function forgeBoot(store) {
  const mounts = join(store, 'mounts');
  for (const id of existsSync(mounts) ? readdirSync(mounts) : []) {
    const file = join(mounts, id, 'state');
    if (!existsSync(file)) continue;
    const state = decodeState(readFileSync(file), id, hasher);
    // Where nothing was brought in there is nothing to read again.
    writeFileSync(file, encodeState({ ...state, bootId: state.bootId === '' ? '' : 'another boot' }, hasher));
  }
}
