import { collectDamage, type Damage } from '../errors.js';
import type { Hasher } from '../hash/hasher.js';
import type { SealedPack } from '../pack/footer.js';
import { listPacks } from '../pack/list-packs.js';
import type { PackId } from '../pack/pack-id.js';
import { readFooter } from '../pack/read-footer.js';
import { StoreLayout } from '../pack/store-layout.js';
import { readJournal } from '../refs/journal.js';
import type { RefTable } from '../refs/ref-table.js';

/** A store as its packs and its ref journal tell it, without the index. */
export interface RebuiltState {
  /** Heads, histories, names and tags. */
  readonly table: RefTable;
  /**
   * Every sealed pack with its objects, by id, but for those in `except`: one footer in memory at a time. Of an object that is
   * in several packs any location is right.
   */
  packs(except?: ReadonlySet<PackId>): Generator<SealedPack>;
  /** What could not be read; that of packs is added while they are listed. */
  readonly damage: Damage[];
}

/** @throws what keeps the folders from being listed: half a listing proves nothing. */
export function rebuildState(dir: string, hasher: Hasher): RebuiltState {
  const layout = new StoreLayout(dir);
  const { table, damage } = readJournal(layout.refsDir, hasher);
  return { table, damage, packs: (except = new Set()) => sealedPacks(layout, hasher, damage, except) };
}

/** Every sealed pack with its objects, but for those in `except`; those whose footers are damaged are named in `damage`. */
export function* sealedPacks(
  layout: StoreLayout,
  hasher: Hasher,
  damage: Damage[],
  except: ReadonlySet<PackId> = new Set(),
): Generator<SealedPack> {
  for (const id of listPacks(layout)) {
    const footer = except.has(id) ? undefined : collectDamage(damage, () => readFooter(layout.packPath(id), id, hasher));
    if (footer !== undefined) yield { id, ...footer };
  }
}
