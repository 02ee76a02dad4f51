import { DigestSet, type SharedDigestSet } from '../hash/digest-set.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { Hasher } from '../hash/hasher.js';
import type { IndexReader } from '../index/reader.js';
import type { VolumeId } from '../index/records.js';
import type { NodeSource } from '../objects/node-store.js';
import { rows } from '../pack/object-table.js';
import { packIdToBytes, type PackId } from '../pack/pack-id.js';
import { readFooter } from '../pack/read-footer.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { type Reference, referencesOf } from '../snapshot/references.js';
import type { Lease } from './lease-file.js';
import type { Leases } from './leases.js';

/** Of a chunk 64 bits are remembered: one that is taken for another is kept for nothing. */
const CHUNK_WORDS = 2;
/** Whether a subtree was seen has to be certain. */
const NODE_WORDS = 8;
const PACK_WORDS = 4;

/** A marking on its way to another thread. */
export interface SharedMarking {
  chunks: SharedDigestSet;
  nodes: SharedDigestSet[];
  packs: SharedDigestSet;
  heads: Map<VolumeId, number>;
}

const NODE_KINDS = [ObjectKind.contentNode, ObjectKind.manifestNode, ObjectKind.snapshot] as const;

/**
 * What is needed: everything that histories, open snapshots, mounts and unfinished work refer to. It grows, from what it was begun
 * with to what is there now. One that was handed to another thread is as it was, and what is added there is that thread's own.
 */
export class Marking {
  private readonly sets: Map<ObjectKind, MarkSet>;
  /** Packs that were there when they were looked through last. */
  private readonly packs: MarkSet;
  /** The newest generation of each volume that is marked. */
  private readonly heads: Map<VolumeId, number>;

  /** @param from the number of chunks that there may be, or a marking of another thread. */
  constructor(from: number | SharedMarking) {
    const shared = typeof from === 'number' ? undefined : from;
    this.sets = new Map<ObjectKind, MarkSet>([[ObjectKind.chunk, new MarkSet(CHUNK_WORDS, shared?.chunks ?? (from as number))]]);
    for (const [i, kind] of NODE_KINDS.entries()) this.sets.set(kind, new MarkSet(NODE_WORDS, shared?.nodes[i]));
    this.packs = new MarkSet(PACK_WORDS, shared?.packs);
    this.heads = new Map(shared?.heads);
  }

  get shared(): SharedMarking {
    const nodes = NODE_KINDS.map((kind) => this.setOf(kind).shared);
    return { chunks: this.setOf(ObjectKind.chunk).shared, nodes, packs: this.packs.shared, heads: this.heads };
  }

  has(kind: ObjectKind, digest: Uint8Array): boolean {
    return this.setOf(kind).has(digest);
  }

  /** True when it is marked only now. */
  add({ kind, digest }: Reference): boolean {
    return this.setOf(kind).add(digest);
  }

  /** The snapshots that have come into histories since. */
  *newGenerations(reader: IndexReader): Generator<Reference> {
    for (const volume of reader.volumes()) {
      const from = (this.heads.get(volume.id) ?? 0) + 1;
      for (const { generation, snapshot } of [...reader.generations(volume.id, { from })]) {
        yield { kind: ObjectKind.snapshot, digest: snapshot };
        this.heads.set(volume.id, generation);
      }
    }
  }

  /** The packs that have come since. */
  *newPacks(reader: IndexReader): Generator<PackId> {
    for (const { id } of reader.packs()) if (this.packs.add(packIdToBytes(id))) yield id;
  }

  private setOf(kind: ObjectKind): MarkSet {
    return this.sets.get(kind) as MarkSet;
  }
}

/** A set that grows, or one of another thread with what is added to it here. */
class MarkSet {
  private readonly base: DigestSet;
  private readonly own: Set<string> | undefined;

  constructor(words: number, from: number | SharedDigestSet = 0) {
    this.base = new DigestSet(words, from);
    this.own = typeof from === 'number' ? undefined : new Set();
  }

  get shared(): SharedDigestSet {
    return this.base.shared;
  }

  has(bytes: Uint8Array): boolean {
    return this.base.has(bytes) || this.own?.has(keyOf(bytes)) === true;
  }

  add(bytes: Uint8Array): boolean {
    if (this.own === undefined) return this.base.add(bytes);
    if (this.has(bytes)) return false;
    this.own.add(keyOf(bytes));
    return true;
  }
}

function keyOf(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
}

/** Snapshots that left their histories and may be open; those that are open and in histories are among them. */
export function* openSnapshots(reader: IndexReader, leases: readonly Lease[]): Generator<Reference> {
  const since = oldestSince(leases);
  for (const { seq, snapshot } of [...reader.removedSnapshots()]) {
    if (seq > since) yield { kind: ObjectKind.snapshot, digest: snapshot };
  }
  for (const { pins } of leases) for (const digest of pins) yield { kind: ObjectKind.snapshot, digest };
}

/** What was removed by a later change may be open somewhere. */
export function oldestSince(leases: readonly Lease[]): number {
  return Math.min(Number.MAX_SAFE_INTEGER, ...leases.map(({ since }) => since));
}

/** How a walk marks, and what it does on the way. */
export interface MarkWalk {
  marking: Marking;
  nodes: NodeSource;
  /** Called for every chunk that is met, and every other object that is marked now. */
  met?: ((reference: Reference) => void) | undefined;
  /** Called for every object that is marked now. */
  fresh?: ((reference: Reference) => void) | undefined;
}

/**
 * Marks what is needed from a start on, one step at a time: the caller makes the pauses.
 * @throws DamageError when a node cannot be read: what it needs is not known then
 */
export function* mark({ marking, nodes, met, fresh }: MarkWalk, start: Reference): Generator<void> {
  const waiting = [start];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const isNew = marking.add(next);
    if (isNew) fresh?.(next);
    if (isNew || next.kind === ObjectKind.chunk) met?.(next);
    if (!isNew || next.kind === ObjectKind.chunk) {
      yield;
      continue;
    }
    waiting.push(...referencesOf(next.kind, nodes.get(next.kind, next.digest)));
    yield;
  }
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
