import fs from 'node:fs';
import { unlessDamaged } from '../errors.js';
import { KEYS_PER_TRANSACTION, writeIndex } from '../index/transaction.js';
import type { SealedPack } from '../pack/footer.js';
import { listPacks } from '../pack/list-packs.js';
import { rowCount } from '../pack/object-table.js';
import { readFooter } from '../pack/read-footer.js';
import { catchUp } from './change-refs.js';
import { type Leases, listLeases, removeDeadOwners } from './leases.js';
import type { PublishParts, RefParts } from './parts.js';
import { removeOrphans } from './start-up.js';

/** Clears up after dead processes, and makes sealed packs known that no index entry leads to. */
export function prepareCollection(parts: PublishParts): void {
  removeDeadOwners(parts);
  for (const _step of clearingUp(parts, () => listLeases(parts.layout))) continue;
}

/** What of that changes the index, step by step: a dry run does the same to a shadow of it. */
export function* clearingUp(parts: RefParts, leases: () => Leases): Generator<void> {
  parts.reserve.spentOn(() => writeIndex(parts.env, (index) => catchUp(parts, index)));
  removeOrphans(parts, leases);
  for (const id of listPacks(parts.layout)) {
    yield;
    parts.reader.refresh();
    if (parts.reader.pack(id) !== undefined || parts.reader.doomedPack(id) !== undefined) continue;
    const footer = unlessDamaged(() => readFooter(parts.layout.packPath(id), id, parts.hasher));
    if (footer !== undefined) adopt(parts, { id, ...footer });
  }
}

/** What a stray pack's nodes refer to may be gone, so that nothing new may be built on them. */
function adopt(parts: RefParts, pack: SealedPack): void {
  for (let from = 0; from < rowCount(pack.table); from += KEYS_PER_TRANSACTION) {
    writeIndex(parts.env, (index) => {
      if (from === 0) {
        // Published, or deleted, since it was listed.
        if (index.reader.pack(pack.id) !== undefined || !fs.existsSync(parts.layout.packPath(pack.id))) return;
        index.putPack(pack, '');
        index.keepPacks([pack.id]);
      }
      if (index.reader.pack(pack.id) === undefined) return;
      index.putObjects(pack.id, pack.table, from, Math.min(rowCount(pack.table), from + KEYS_PER_TRANSACTION));
    });
  }
}
