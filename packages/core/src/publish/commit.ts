import { VolumeNotFoundError } from '../errors.js';
import { digestToHex, type Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import type { VolumeRecord } from '../index/records.js';
import { sameRoot } from '../manifest/entry.js';
import { Staging, type StagedObject } from '../objects/staging.js';
import type { SealedPack } from '../pack/footer.js';
import { decodeSnapshotRecord, encodeSnapshotRecord, type SnapshotRecord } from '../snapshot/record.js';
import { stagedBelow } from '../snapshot/staged-below.js';
import { changeRefs, type RefTransaction } from './change-refs.js';
import { fewChanges, LARGE_MERGE, type Proposal, rebase, type Rebased } from './merge-plan.js';
import type { CommitOutcome, CommitOrder, HeadInfo } from './messages.js';
import type { PublishParts } from './parts.js';
import { revive } from './revive.js';
import { discardPack, writeSmallPack } from './store-objects.js';

/** How often a large merge is done outside of the lock, before it is done in it whatever it takes. */
const MAX_MERGES_OUTSIDE = 2;

/** Nodes that a merge made and the caller is given: those of some changes, not those of thousands. */
const MAX_NODES_RETURNED = 64;

/**
 * Publishes a tree as a volume's new head, merged onto the head when that has moved: under the lock, in this order, the new
 * nodes and the snapshot record in one pack, the change in the ref journal, the index. When it returns the snapshot is durable.
 * @throws VolumeNotFoundError, StoreFullError, DamageError; nothing is published then.
 */
export function commit(parts: PublishParts, order: CommitOrder, objects: StagedObject[]): CommitOutcome {
  const staging = stage(parts, objects);
  const changes = fewChanges(staging, order.base.root, order.ours);
  let proposal: Proposal = { base: order.base.root, ours: order.ours, overwritten: [], changes };
  // What others committed until now is not the head any more when many wait for the lock: little is merged once, under it.
  let isReady = changes !== undefined;
  for (let merges = 0; ; merges++) {
    const lastTime = merges === MAX_MERGES_OUTSIDE;
    if (!isReady && !lastTime) {
      parts.reader.refresh();
      const head = headOf(parts, existing(parts.reader, order));
      const rebased = ontoHead(parts, staging, proposal, head, order)!;
      if (rebased.conflicts !== undefined) return { status: 'conflict', paths: rebased.conflicts, head };
      proposal = rebased.proposal;
    }
    const outcome = attempt(parts, order, objects, staging, proposal, lastTime ? Infinity : LARGE_MERGE);
    if (outcome !== undefined) return outcome;
    isReady = false;
  }
}

/** One try under the lock; undefined when the head moved so far meanwhile that merging belongs outside of it. */
function attempt(
  parts: PublishParts,
  order: CommitOrder,
  objects: readonly StagedObject[],
  staging: Staging,
  proposal: Proposal,
  maxChanges: number,
): CommitOutcome | undefined {
  let pack: SealedPack | undefined;
  let seq = 0;
  let written: { id: Digest; objects: StagedObject[] } | undefined;
  try {
    const outcome = changeRefs<CommitOutcome | undefined>(parts, (transaction) => {
      const volume = existing(transaction.reader, order);
      const head = headOf(parts, volume);
      const rebased = ontoHead(parts, staging, proposal, head, order, maxChanges);
      if (rebased === undefined) return undefined;
      if (rebased.conflicts !== undefined) return { status: 'conflict', paths: rebased.conflicts, head };
      const { ours: root, overwritten } = rebased.proposal;
      // A volume's first commit makes a snapshot in any case, so that there is one to return.
      if (!order.keepUnchanged && head.snapshot !== null && sameRoot(root, head.root))
        return { status: 'unchanged', head, overwritten: [...overwritten] };

      const record: SnapshotRecord = {
        volumeId: volume.id,
        generation: volume.generation + 1,
        parent: volume.head,
        root,
        createdAtMs: order.createdAtMs,
        newBytes: order.newBytes,
        message: order.message,
        metadata: order.metadata,
      };
      // What a merge made of the staged nodes and then dropped stays out.
      const isMerged = !sameRoot(root, order.ours);
      const needed = isMerged ? stagedBelow(staging, root) : objects;
      written = newObjects(parts, transaction, staging, record, order, needed);
      pack = writeSmallPack(parts, transaction.reader, written.objects);
      seq = transaction.reader.state().seq + 1;
      transaction.record({
        type: 'head',
        volumeId: volume.id,
        generation: record.generation,
        snapshot: digestToHex(written.id),
        pack: pack.id,
      });
      transaction.index.putPack(pack, parts.lease);
      transaction.index.putObjects(pack.id, pack.table);
      const mergedNodes = isMerged ? topNodes(written.objects) : [];
      return { status: 'committed', snapshot: written.id, record, overwritten: [...overwritten], storedBytes: pack.sizeBytes, mergedNodes };
    });
    for (const { kind, digest, bytes } of written?.objects ?? [])
      if (kind !== ObjectKind.chunk) parts.objects.keep(kind, digest, new Uint8Array(bytes));
    return outcome;
  } catch (error) {
    if (pack !== undefined && !isNamedBy(parts, seq, pack)) discardPack(parts, pack);
    throw error;
  }
}

/** The proposal, merged with what others have committed since its base; undefined when that takes a look at more than `maxChanges`. */
function ontoHead(
  parts: PublishParts,
  staging: Staging,
  proposal: Proposal,
  head: HeadInfo,
  order: CommitOrder,
  maxChanges = Infinity,
): Rebased | undefined {
  return parts.config.disk.without === 'compare' ? { proposal } : rebase(staging, proposal, head.root, order, maxChanges);
}

/** Whether the journal holds the change that names a pack, since it could not be taken back: then the pack must stay. */
function isNamedBy(parts: PublishParts, seq: number, pack: SealedPack): boolean {
  try {
    const change = parts.journal.read(seq)?.change;
    return change?.type === 'head' && change.pack === pack.id;
  } catch {
    return true;
  }
}

/** The snapshot record, and of what its tree needs what no pack has. What packs already have must not be collected. */
function newObjects(
  parts: PublishParts,
  transaction: RefTransaction,
  staging: Staging,
  record: SnapshotRecord,
  order: CommitOrder,
  needed: Iterable<StagedObject>,
): { id: Digest; objects: StagedObject[] } {
  const objects = [...needed].filter(({ kind, digest }) => transaction.reader.packOf(kind, digest) === undefined);
  const bytes = encodeSnapshotRecord(record);
  const id = staging.put(ObjectKind.snapshot, bytes);
  objects.push({ kind: ObjectKind.snapshot, digest: id, bytes });
  revive(parts, transaction.index, { fresh: objects }, order.pendingEpoch);
  return { id, objects };
}

/** Copies of the nodes of a tree that was written, from the top down, as far as they are few. */
function topNodes(objects: readonly StagedObject[]): Uint8Array[] {
  const nodes = objects.filter(({ kind }) => kind === ObjectKind.manifestNode).slice(0, MAX_NODES_RETURNED);
  return nodes.map(({ bytes }) => new Uint8Array(bytes));
}

/** What is known as published outside of the lock may be collected before it is taken, so everything is staged. */
function stage(parts: PublishParts, objects: StagedObject[]): Staging {
  const published = { beneath: parts.objects, get: parts.objects.get.bind(parts.objects), has: () => false };
  const staging = new Staging(published, parts.hasher);
  for (const object of objects) staging.add(object);
  return staging;
}

function existing(reader: IndexReader, order: CommitOrder): VolumeRecord {
  const volume = reader.volumeById(order.volumeId);
  if (volume === undefined) throw new VolumeNotFoundError(order.volumeName ?? order.volumeId);
  return volume;
}

function headOf(parts: PublishParts, volume: VolumeRecord): HeadInfo {
  if (volume.head === null) return { generation: 0, root: null, snapshot: null };
  const { root } = decodeSnapshotRecord(parts.objects.get(ObjectKind.snapshot, volume.head));
  return { generation: volume.generation, root, snapshot: volume.head };
}
