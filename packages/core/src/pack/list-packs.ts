import path from 'node:path';
import { reads } from '../disk/reads.js';
import { wrapIoError } from '../errors.js';
import type { PackId } from './pack-id.js';
import { packIdOfName, parseIncomingName, type StoreLayout } from './store-layout.js';

/** An unfinished pack: worthless once its owner is dead. */
export interface IncomingPack {
  owner: string;
  id: PackId;
  path: string;
}

/**
 * The ids of all sealed packs in ascending order, one folder in memory at a time. Other names are left alone. Any error
 * while listing is thrown: half a listing proves nothing.
 */
export function* listPacks(layout: StoreLayout): Generator<PackId> {
  for (const folder of names(layout.packsDir)) {
    if (!/^[0-9a-f]{2}$/.test(folder)) continue;
    for (const name of names(path.join(layout.packsDir, folder))) {
      const id = packIdOfName(name);
      if (id !== undefined && id.startsWith(folder)) yield id;
    }
  }
}

export function listIncoming(layout: StoreLayout): IncomingPack[] {
  return names(layout.incomingDir).flatMap((name) => {
    const parsed = parseIncomingName(name);
    return parsed === undefined ? [] : [{ ...parsed, path: path.join(layout.incomingDir, name) }];
  });
}

function names(folder: string): string[] {
  try {
    return reads.readdirSync(folder).sort();
  } catch (error) {
    throw wrapIoError(error, `cannot list ${folder}`);
  }
}
