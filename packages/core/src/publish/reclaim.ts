import { isCairnError, unlessDamaged } from '../errors.js';
import type { Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import { KEYS_PER_TRANSACTION, writeIndex } from '../index/transaction.js';
import type { PackId } from '../pack/pack-id.js';
import { readFooter } from '../pack/read-footer.js';
import type { Reference } from '../snapshot/references.js';
import { catchUp } from './change-refs.js';
import { foundIn } from './collect.js';
import { type Leases, listLeases } from './leases.js';
import type { PublishParts } from './parts.js';
import { isBlocked } from './protection.js';
import { reviveWhatIsLeft } from './revive.js';

/* How condemned packs end: out of the index once nobody can need them, then what points at them, then their files. */

const PACKS_PER_TRANSACTION = 256;

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
