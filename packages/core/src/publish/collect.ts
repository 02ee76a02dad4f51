import fs from 'node:fs';
import { isCairnError, unlessDamaged } from '../errors.js';
import type { DiskSpec } from '../disk/disk.js';
import type { Hasher } from '../hash/hasher.js';
import type { Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import type { IndexIdentity } from '../index/storage.js';
import { KEYS_PER_TRANSACTION, writeIndex } from '../index/transaction.js';
import type { NodeSource } from '../objects/node-store.js';
import type { SealedPack } from '../pack/footer.js';
import { listPacks } from '../pack/list-packs.js';
import { type ObjectTable, rowCount, rows } from '../pack/object-table.js';
import type { PackId } from '../pack/pack-id.js';
import { readFooter } from '../pack/read-footer.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { type Reference, referencesOf } from '../snapshot/references.js';
import { catchUp } from './change-refs.js';
import { type Leases, listLeases, readsAnotherIndex, removeDeadOwners } from './leases.js';
import { mark, Marking, oldestSince, openSnapshots, type SharedMarking } from './marking.js';
import type { PublishParts, RefParts } from './parts.js';
import { reviveWhatIsLeft } from './revive.js';
import { removeOrphans } from './start-up.js';

/*
 * The steps of a collection that change the index: each is one or a few short transactions, and each leaves a store that the next
 * collection can go on from.
 */

/** Objects that are marked under the lock, before that is left to another try outside of it. */
const MARKED_UNDER_LOCK = 20_000;
const PACKS_PER_TRANSACTION = 256;

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
function* foundIn(reader: IndexReader, pack: PackId, table: ObjectTable): Generator<Reference> {
  for (const { kind, digest } of rows(table)) if (reader.locate(kind, digest)?.pack === pack) yield { kind, digest };
}

/** Where marking has to begin to find all that came since the last look: new snapshots, and what new packs refer to. */
export function* startsSince(
  { layout, hasher, objects }: { layout: StoreLayout; hasher: Hasher; objects: NodeSource },
  reader: IndexReader,
  marking: Marking,
  leases: Leases['alive'],
): Generator<Reference> {
  yield* marking.newGenerations(reader);
  yield* openSnapshots(reader, leases);
  // What lies in a pack that counts must have all that it needs, whoever it is for.
  for (const id of [...marking.newPacks(reader)]) yield* startsIn(layout, hasher, objects, id);
}

/** What the nodes of a pack refer to. */
export function* startsIn(layout: StoreLayout, hasher: Hasher, objects: NodeSource, id: PackId): Generator<Reference> {
  for (const { kind, digest } of rows(readFooter(layout.packPath(id), id, hasher).table))
    if (kind !== ObjectKind.chunk) yield* referencesOf(kind, objects.get(kind, digest));
}

/** The leases that snapshots are kept for. One that cannot be read keeps all. */
export function protecting({ without }: DiskSpec, { alive, unreadable }: Leases): Leases['alive'] {
  if (without === 'leases') return [];
  const leases = without === 'removed' ? alive.map((lease) => ({ ...lease, since: Number.MAX_SAFE_INTEGER })) : alive;
  const anything = { since: 0, pins: [], pendingEpoch: 0, pid: 0, startTime: 0, bootId: '', pidNamespace: 0, createdAtMs: 0 };
  return [...leases, ...unreadable.map((id) => ({ id, ...anything, index: { dev: 0, ino: 0 } }))];
}

/** The ids of the leases for whose sake packs that were condemned in an epoch must stay. `index`: the one that collects. */
export function blockersOf({ without }: DiskSpec, index: IndexIdentity, { alive, unreadable }: Leases, condemnedEpoch: number): string[] {
  if (without === 'pending') return [];
  const blocking = alive.filter(
    (lease) =>
      (without !== 'index' && readsAnotherIndex(lease, index)) || (lease.pendingEpoch !== null && lease.pendingEpoch < condemnedEpoch),
  );
  return [...blocking.map(({ id }) => id), ...unreadable];
}

function isBlocked({ config, env }: PublishParts, leases: Leases, condemnedEpoch: number): boolean {
  return blockersOf(config.disk, env.identity, leases, condemnedEpoch).length > 0;
}

export interface DoomInput {
  /** All leases as they were before `roots` were read. */
  before: Leases;
  /** Of the mounts: a process may have named one in the state of a mount, and died before it could want back what that needs. */
  roots: Digest[];
}

/** Takes condemned packs out of the index that nobody can need any more. Returns how many bytes they have. */
export function doom(parts: PublishParts, { before, roots }: DoomInput): number {
  let bytes = 0;
  for (let more = true; more;) {
    const step = parts.reserve.spentOn(() =>
      writeIndex(parts.env, (index) => {
        catchUp(parts, index);
        reviveWhatIsLeft(parts, index, { published: roots.map((digest) => ({ kind: ObjectKind.manifestNode, digest })) });
        const now = listLeases(parts.layout);
        const doomed: PackId[] = [];
        let size = 0;
        for (const { id, condemnedEpoch } of [...index.reader.absentPacks()]) {
          if (condemnedEpoch === 0 || doomed.length === PACKS_PER_TRANSACTION) continue;
          if (isBlocked(parts, before, condemnedEpoch) || isBlocked(parts, now, condemnedEpoch)) continue;
          size += index.reader.pack(id)?.sizeBytes ?? 0;
          doomed.push(id);
        }
        index.doomPacks(doomed);
        return { full: doomed.length === PACKS_PER_TRANSACTION, size };
      }),
    );
    bytes += step.size;
    more = step.full;
  }
  return bytes;
}

/** `left`: there are more that can go. */
export interface SweepOutcome {
  freed: number;
  packs: number;
  left: boolean;
}

/** Ends what is left of some doomed packs: the objects that still point at them, then their files. Returns the bytes that are free. */
export function sweep(parts: PublishParts, limit: number): SweepOutcome {
  parts.reader.refresh();
  const blocking = listLeases(parts.layout);
  const all = [...parts.reader.doomedPacks()].filter(({ condemnedEpoch }) => !isBlocked(parts, blocking, condemnedEpoch));
  const some = all.slice(0, limit);
  removeObjectsOf(
    parts,
    some.map(({ id }) => id),
  );
  let freed = 0;
  let packs = 0;
  if (some.length > 0) {
    parts.reserve.spentOn(() =>
      writeIndex(parts.env, (index) => {
        const leases = listLeases(parts.layout);
        const gone: PackId[] = [];
        freed = 0;
        for (const { id, condemnedEpoch, sizeBytes } of some) {
          if (index.reader.doomedPack(id) === undefined || isBlocked(parts, leases, condemnedEpoch)) continue;
          parts.packs.forget(id);
          unlinkIfThere(parts, id);
          gone.push(id);
          freed += sizeBytes;
        }
        packs = gone.length;
        index.forgetDoomed(gone);
      }),
    );
  }
  return { freed, packs, left: all.length > some.length && packs > 0 };
}

/** In as few transactions as can be: packs that were brought together are small, many, and mostly empty. */
function removeObjectsOf(parts: PublishParts, packs: readonly PackId[]): void {
  let batch: ObjectAt[] = [];
  const flush = (): void => {
    if (batch.length === 0) return;
    parts.reserve.spentOn(() =>
      writeIndex(parts.env, (index) => {
        for (const { pack, kind, digest } of batch)
          if (index.reader.doomedPack(pack) !== undefined && index.reader.locate(kind, digest)?.pack === pack)
            index.removeObject(kind, digest);
      }),
    );
    batch = [];
  };
  for (const pack of packs) {
    for (const object of objectsAt(parts, pack)) {
      batch.push({ pack, ...object });
      if (batch.length === KEYS_PER_TRANSACTION) flush();
    }
  }
  flush();
}

interface ObjectAt extends Reference {
  pack: PackId;
}

/** What the index says to be in a doomed pack: nothing comes to it any more. */
function* objectsAt({ reader, layout, hasher }: PublishParts, pack: PackId): Generator<Reference> {
  const table = unlessDamaged(() => readFooter(layout.packPath(pack), pack, hasher).table);
  if (table !== undefined) {
    yield* foundIn(reader, pack, table);
    return;
  }
  // What was in it is only known from the index: nothing may be left that points at a pack that is gone.
  for (let after: Uint8Array | undefined, more = true; more;) {
    reader.refresh();
    const { objects, next } = reader.objectsAfter(after, KEYS_PER_TRANSACTION);
    for (const { kind, digest, pack: at } of objects) if (at === pack) yield { kind, digest };
    after = next;
    more = next !== undefined;
  }
}

function unlinkIfThere(parts: PublishParts, id: PackId): void {
  try {
    parts.disk.unlink(parts.layout.packPath(id));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' && !isCairnError(error, 'ENOENT')) throw error;
  }
}
