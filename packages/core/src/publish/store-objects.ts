import { Encoding } from '../encoding/encoding.js';
import { StoreFullError } from '../errors.js';
import type { Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import { type IndexTransaction, KEYS_PER_TRANSACTION, writeIndex } from '../index/transaction.js';
import type { StagedObject } from '../objects/staging.js';
import type { SealedPack } from '../pack/footer.js';
import { ROW_BYTES, rowCount } from '../pack/object-table.js';
import { type PackInput, writePackSync } from '../pack/small-pack.js';
import type { PublishParts } from './parts.js';
import { revive, reviveWhatIsLeft } from './revive.js';

/** Rows of one pack that go into one transaction. */
interface Slice {
  pack: SealedPack;
  from: number;
  to: number;
}

/**
 * Puts sealed packs into the index, under this engine's lease. Objects that are known keep their first location.
 *
 * @param first is done in the first transaction.
 * @throws StoreFullError
 */
export function publishPacks(parts: PublishParts, packs: SealedPack[], first?: (index: IndexTransaction) => void): void {
  parts.reader.refresh();
  assertRoom(parts, parts.reader, sum(packs.map((pack) => pack.sizeBytes)));
  const all = [...transactionsOf(packs)];
  for (const slices of all) {
    writeIndex(parts.env, (transaction) => {
      if (slices === all[0]) first?.(transaction);
      for (const { pack, from, to } of slices) {
        transaction.putPack(pack, parts.lease);
        transaction.putObjects(pack.id, pack.table, from, to);
      }
    });
  }
}

/** Stores objects that no commit refers to yet: staging that grew too large for memory. */
export function storeObjects(
  parts: PublishParts,
  objects: StagedObject[],
  { pendingEpoch = null, mayLack = false }: { pendingEpoch?: number | null; mayLack?: boolean } = {},
): { storedBytes: number } {
  parts.reader.refresh();
  const fresh = objects.filter(({ kind, digest }) => parts.reader.packOf(kind, digest) === undefined);
  if (fresh.length === 0) return { storedBytes: 0 };
  // Published in several transactions when there are many, and a crash may come between them: what is in the index must
  // never refer to what is not, since others take it as whole.
  const pack = writeSmallPack(parts, parts.reader, childrenFirst(fresh));
  publishPacks(parts, [pack], (index) => {
    if (mayLack) reviveWhatIsLeft(parts, index, { fresh });
    else revive(parts, index, { fresh }, pendingEpoch);
  });
  return { storedBytes: pack.sizeBytes };
}

/** Keeps trees that something other than a commit refers to. @throws DamageError */
export function retainTrees(parts: PublishParts, roots: Digest[], pendingEpoch: number | null): void {
  const published = roots.map((digest) => ({ kind: ObjectKind.manifestNode, digest }));
  writeIndex(parts.env, (index) => revive(parts, index, { published }, pendingEpoch));
}

/** Sorted so that every object comes behind all that it refers to: objects refer to kinds and levels below their own only. */
function childrenFirst(objects: StagedObject[]): StagedObject[] {
  return [...objects].sort((a, b) => a.kind - b.kind || levelOf(a) - levelOf(b));
}

/** Both kinds of nodes have their level in the second byte; the others have none. */
function levelOf({ kind, bytes }: StagedObject): number {
  return kind === ObjectKind.contentNode || kind === ObjectKind.manifestNode ? bytes[1]! : 0;
}

/** Encodes objects and seals them in one pack, which the index does not know yet. @throws StoreFullError */
export function writeSmallPack(parts: PublishParts, reader: IndexReader, objects: StagedObject[]): SealedPack {
  const inputs = objects.map((object) => encoded(parts, object));
  assertRoom(parts, reader, sum(inputs.map((input) => input.payload.byteLength + ROW_BYTES)));
  return writePackSync(parts.shelf, inputs);
}

/** Removes a pack that was sealed for nothing. Best effort: no index knows it, so a collection will find it. */
export function discardPack(parts: PublishParts, pack: SealedPack): void {
  try {
    parts.disk.unlink(parts.layout.packPath(pack.id));
  } catch {
    // the cause of this is already on its way to the caller
  }
}

function encoded(parts: PublishParts, { kind, digest, bytes }: StagedObject): PackInput {
  const length = bytes.byteLength;
  const frame = parts.encoder.encode(bytes, 'data');
  // Copied: the encoder uses its memory again for the next object.
  return frame === null
    ? { kind, digest, encoding: Encoding.raw, length, payload: bytes }
    : { kind, digest, encoding: Encoding.zstd, length, payload: new Uint8Array(frame) };
}

function assertRoom(parts: PublishParts, reader: IndexReader, bytes: number): void {
  const { maxBytes } = parts.config;
  if (maxBytes !== undefined && reader.state().packBytes + bytes > maxBytes) throw new StoreFullError(maxBytes);
}

function* transactionsOf(packs: SealedPack[]): Generator<Slice[]> {
  let slices: Slice[] = [];
  let room = KEYS_PER_TRANSACTION;
  for (const pack of packs) {
    for (let from = 0; from < rowCount(pack.table);) {
      const to = Math.min(rowCount(pack.table), from + room);
      slices.push({ pack, from, to });
      room -= to - from;
      from = to;
      if (room > 0) continue;
      yield slices;
      slices = [];
      room = KEYS_PER_TRANSACTION;
    }
  }
  if (slices.length > 0) yield slices;
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, value) => total + value, 0);
}
