import type { IndexReader } from '../index/reader.js';

/** How many objects all packs have, some of them more than once: no more are in the index. @throws DamageError */
export function objectCount(index: IndexReader): number {
  let count = 0;
  for (const { objects } of index.packs()) count += objects;
  return count;
}
