import type { IndexReader } from '../index/reader.js';
import { KEYS_PER_TRANSACTION, writeIndex } from '../index/transaction.js';
import type { SealedPack } from '../pack/footer.js';
import { type ObjectTable, rowCount, rows } from '../pack/object-table.js';
import type { PackId } from '../pack/pack-id.js';
import { readFooter } from '../pack/read-footer.js';
import type { Reference } from '../snapshot/references.js';
import { catchUp } from './change-refs.js';
import { listLeases } from './leases.js';
import { mark, Marking, oldestSince, type SharedMarking, startsSince } from './marking.js';
import type { PublishParts } from './parts.js';
import { protecting } from './protection.js';

/*
 * The steps of a collection that change the index, up to condemning packs: each is one or a few short transactions, and each leaves a
 * store that the next collection can go on from.
 */

/** Objects that are marked under the lock, before that is left to another try outside of it. */
const MARKED_UNDER_LOCK = 20_000;

/**
 * Makes this engine the one that collects: only it moves objects, and others that only bring small packs together wait. `first`: it
 * comes before whoever does so now. False: another one, which lives, has it.
 */
export function claimCollection(parts: PublishParts, { first }: { first: boolean }): boolean {
  return parts.reserve.spentOn(() =>
    writeIndex(parts.env, (index) => {
      const holder = index.reader.collector();
      if (holder === parts.lease) return true;
      if (!first && holder !== undefined && isAlive(parts, holder)) return false;
      index.setCollector(parts.lease);
      return true;
    }),
  );
}

export function releaseCollection(parts: PublishParts): void {
  parts.reader.refresh();
  if (parts.reader.collector() !== parts.lease) return;
  parts.reserve.spentOn(() =>
    writeIndex(parts.env, (index) => {
      if (index.reader.collector() === parts.lease) index.setCollector(undefined);
    }),
  );
}

function isAlive(parts: PublishParts, lease: string): boolean {
  const { alive, unreadable } = listLeases(parts.layout);
  return alive.some(({ id }) => id === lease) || unreadable.includes(lease);
}

/** Whether another collection has come between: it has condemned since, so that what was marked is worthless, or is about to. */
function isSuperseded({ config, lease }: PublishParts, reader: IndexReader, epoch: number): boolean {
  const { without } = config.disk;
  return (without !== 'epoch' && reader.state().epoch !== epoch) || (without !== 'collector' && reader.collector() !== lease);
}

export interface MoveInput {
  /** Of the index when marking began: another collection since makes the marking worthless. */
  epoch: number;
  pack: SealedPack;
  sources: PackId[];
}

/** Lets copies be found in place of what they were copied from. False: another collection came between, and nothing was moved. */
export function moveCopies(parts: PublishParts, { epoch, pack, sources }: MoveInput): boolean {
  const from = new Set(sources);
  const count = rowCount(pack.table);
  let superseded = false;
  for (let row = 0; row < count && !superseded; row += KEYS_PER_TRANSACTION) {
    parts.reserve.spentOn(() =>
      writeIndex(parts.env, (index) => {
        superseded = isSuperseded(parts, index.reader, epoch);
        if (superseded) return;
        index.putPack(pack, parts.lease);
        index.moveObjects(pack.id, pack.table, from, row, Math.min(count, row + KEYS_PER_TRANSACTION));
      }),
    );
  }
  return !superseded;
}

export interface CondemnInput {
  epoch: number;
  marking: SharedMarking;
  /** Packs without anything that is needed. */
  drop: PackId[];
  /** Packs whose nodes may refer to what is dropped, and which hold something that is needed. */
  hide: PackId[];
  /** Absent packs all of whose nodes are needed. */
  show: PackId[];
  /** Whether this is the last try: then everything is marked under the lock, whatever it takes. */
  last: boolean;
}

/** `again`: so much came meanwhile that it is to be marked outside of the lock first. `superseded`: another collection came between. */
export type CondemnOutcome = 'done' | 'again' | 'superseded';

/** Leaves the transaction without a trace. */
class TooMuchError extends Error {}

/** Condemns packs, in one transaction, having marked what has come since the marking that is handed over. */
export function condemn(parts: PublishParts, input: CondemnInput): CondemnOutcome {
  const { marking: shared, drop, hide, show, last } = input;
  try {
    return parts.reserve.spentOn(() =>
      writeIndex(parts.env, (index) => {
        catchUp(parts, index);
        if (isSuperseded(parts, index.reader, input.epoch)) return 'superseded';
        const leases = protecting(parts.config.disk, listLeases(parts.layout));
        const marking = new Marking(shared);
        const touched = new Set<PackId>();
        const met = ({ kind, digest }: Reference): void => {
          const location = index.reader.locate(kind, digest);
          if (location !== undefined) touched.add(location.pack);
        };
        let steps = 0;
        for (const start of startsSince(parts, index.reader, marking, leases)) {
          for (const _step of mark({ marking, nodes: parts.objects, met }, start)) {
            if (++steps > MARKED_UNDER_LOCK && !last) throw new TooMuchError();
          }
        }
        const condemned = drop.filter((id) => !touched.has(id) && (index.reader.absentPack(id)?.condemnedEpoch ?? 0) === 0);
        const kept = [...hide, ...drop.filter((id) => touched.has(id))];
        index.showPacks(show);
        if (kept.length > 0) index.keepPacks(kept);
        if (condemned.length > 0) index.condemnPacks(condemned);
        index.forgetRemoved(Math.min(oldestSince(leases), index.reader.state().seq));
        return 'done';
      }),
    );
  } catch (error) {
    if (error instanceof TooMuchError) return 'again';
    throw error;
  }
}

export interface RetireInput {
  /** Of the index when copying began. */
  epoch: number;
  packs: PackId[];
}

/** Condemns packs all of whose objects are found elsewhere by now: nothing has to be marked for that. False: another collection came between. */
export function retire(parts: PublishParts, { epoch, packs }: RetireInput): boolean {
  return parts.reserve.spentOn(() =>
    writeIndex(parts.env, (index) => {
      const { reader } = index;
      if (isSuperseded(parts, reader, epoch)) return false;
      const empty = packs.filter(
        (id) => reader.pack(id) !== undefined && reader.absentPack(id) === undefined && isEmpty(parts, reader, id),
      );
      if (empty.length > 0) index.condemnPacks(empty);
      return true;
    }),
  );
}

/** Whether nothing is found in a pack: one that was just being published when it was looked at has got more since. */
function isEmpty({ layout, hasher }: PublishParts, reader: IndexReader, id: PackId): boolean {
  return foundIn(reader, id, readFooter(layout.packPath(id), id, hasher).table).next().done === true;
}

/** Which of a pack's objects are looked up there. */
export function* foundIn(reader: IndexReader, pack: PackId, table: ObjectTable): Generator<Reference> {
  for (const { kind, digest } of rows(table)) if (reader.locate(kind, digest)?.pack === pack) yield { kind, digest };
}
