import type { DiskSpec } from '../../disk/disk.js';
import { CairnError, DamageError, InvalidArgumentError, isCairnError, ReadOnlyError } from '../../errors.js';
import type { Hasher } from '../../hash/hasher.js';
import { ObjectKind } from '../../hash/object-kind.js';
import type { IndexReader } from '../../index/reader.js';
import type { AbsentPack, PackRecord } from '../../index/records.js';
import { mountRoots } from '../../mount/roots.js';
import { ObjectReader } from '../../objects/object-reader.js';
import type { PackFiles } from '../../pack/pack-files.js';
import type { PackId } from '../../pack/pack-id.js';
import { protecting, startsIn, startsSince } from '../../publish/collect.js';
import type { Lease } from '../../publish/lease-file.js';
import { listLeases, readsAnotherIndex, type Leases } from '../../publish/leases.js';
import { mark, Marking } from '../../publish/marking.js';
import type { Reference } from '../../snapshot/references.js';
import type { GcReport, Work } from '../../types.js';
import type { MountEngine } from '../../mount/parts.js';
import { copyLive, type Copied, type CopyPlan, plannedCopies } from './copies.js';
import { makePlan, type Plan, type PackUse, UNUSED } from './plan.js';

/** What a collection works with. */
export interface CollectParts extends MountEngine {
  readonly packs: PackFiles;
  readonly spec: DiskSpec;
}

export interface CollectOptions extends Work {
  dryRun?: boolean;
  /** Also bring small packs together, in reading order. */
  merge: boolean;
}

/** Objects looked at between two turns of the event loop. */
const OBJECTS_PER_TURN = 2048;
/** Nodes are met once each, by parents that lie together. */
const NODE_CACHE_BYTES = 8 << 20;
/** How often a marking that another collection made worthless is begun again. */
const ATTEMPTS = 5;
/** How often what came meanwhile is marked outside of the lock, before it is marked under it whatever it takes. */
const ROUNDS = 4;
/** Packs whose files are deleted in one step. */
const SWEEP_PACKS = 32;

/** A collection superseded by another is begun again. */
const SUPERSEDED = Symbol('superseded');

/** What came of a run through the whole store. */
export interface Outcome extends GcReport {
  /** Packs that were written. */
  packsWritten: number;
  /** Packs and their bytes before. */
  before: { packs: number; bytes: number };
}

/** Finds what nothing needs, and frees it; see docs/architecture.md. Everybody else goes on meanwhile. @throws ReadOnlyError, DamageError */
export async function collect(parts: CollectParts, options: CollectOptions): Promise<Outcome> {
  if (parts.readOnly) throw new ReadOnlyError('this store');
  options.signal?.throwIfAborted();
  const dryRun = options.dryRun === true;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      const outcome = await new Collection(parts, options).run(dryRun);
      if (outcome !== SUPERSEDED) return outcome;
    } catch (error) {
      if (!wasDeleted(parts.index, error)) throw error;
    }
  }
  throw new CairnError('CAIRN_GC_BUSY', 'other collections of this store came between again and again', {
    hint: 'one gc or optimize at a time is enough: run it again when the others are done',
  });
}

/** Lets packs count again that are kept only since a repair did not know what their nodes refer to, and hold nothing dead. */
export async function showWhatIsNeeded(parts: CollectParts, work: Work): Promise<void> {
  await new Collection(parts, { ...work, merge: false }).showOnly();
}

/** Whether what is missing are packs that another collection deleted after they were listed. */
function wasDeleted(index: IndexReader, error: unknown): boolean {
  if (!(error instanceof DamageError) || error.damage.length === 0) return false;
  index.refresh();
  return error.damage.every(({ kind, id }) => kind === 'pack' && index.pack(id as PackId) === undefined);
}

class Collection {
  private readonly parts: CollectParts;
  private readonly work: Work;
  private readonly merge: boolean;
  private readonly index: IndexReader;
  private readonly hasher: Hasher;
  private readonly nodes: ObjectReader;
  private marking!: Marking;
  private epoch = 0;
  private before = { packs: 0, bytes: 0 };
  /** Packs that something lies in that was met after the index was looked through. */
  private readonly touched = new Set<PackId>();
  private looked = 0;
  private phase = 'marking';
  private bytes = 0;

  constructor(parts: CollectParts, { merge, ...work }: CollectOptions) {
    this.parts = parts;
    this.work = work;
    this.merge = merge;
    this.index = parts.index;
    this.hasher = parts.hasher;
    this.nodes = new ObjectReader(parts.index, parts.packs, parts.hasher, NODE_CACHE_BYTES);
  }

  async run(dryRun: boolean): Promise<Outcome | typeof SUPERSEDED> {
    const { publisher } = this.parts;
    if (!dryRun) await publisher.prepareCollection();
    this.index.refresh();
    const { epoch, packs: count, packBytes: bytes } = this.index.state();
    this.epoch = epoch;
    this.before = { packs: count, bytes };
    const spared = await this.markAll();
    const { packs, absent, uses } = await this.lookThrough();
    const plan = makePlan({ packs, absent, uses, spared, merge: this.merge });
    const copies = await plannedCopies(this.planning(), plan.rewrite);
    if (dryRun) return this.foreseen(plan, copies);
    const copied = await this.copy(copies);
    if (copied === SUPERSEDED || !(await this.condemn(plan, copied))) return SUPERSEDED;
    return this.free(plan, copied);
  }

  async showOnly(): Promise<void> {
    this.index.refresh();
    this.epoch = this.index.state().epoch;
    const spared = await this.markAll();
    const plan = makePlan({ ...(await this.lookThrough()), spared, merge: false });
    if (plan.show.length > 0)
      await this.condemn({ drop: [], rewrite: [], show: plan.show }, { packs: [], done: new Set(), left: new Set() });
  }

  /** Marks what is needed now. Returns the packs of unfinished work. */
  private async markAll(): Promise<Set<PackId>> {
    const leases = this.leases();
    this.marking = new Marking(objectCount(this.index));
    const spared = new Set(sparedPacks(this.index, leases.alive));
    for (const _known of this.marking.newPacks(this.index)) continue;
    await this.markFrom(this.marking.newSnapshots(this.index, this.protecting(leases)));
    for (const id of spared) await this.markFrom(startsIn(this.parts.layout, this.hasher, this.nodes, id));
    await this.markMounts();
    return spared;
  }

  private async markMounts(): Promise<void> {
    const roots = mountRoots(this.parts.mountsDir, this.hasher);
    await this.markFrom(roots.map((digest) => ({ kind: ObjectKind.manifestNode, digest })));
  }

  private async markFrom(starts: Iterable<Reference>, met?: (reference: Reference) => void): Promise<void> {
    for (const start of starts) {
      for (const _step of mark({ marking: this.marking, nodes: this.nodes, met }, start))
        if (++this.looked % OBJECTS_PER_TURN === 0) await this.pause();
    }
  }

  /** Looks at every object that the index knows. */
  private async lookThrough(): Promise<{ packs: PackRecord[]; absent: Map<PackId, AbsentPack>; uses: Map<PackId, PackUse> }> {
    this.phase = 'sorting';
    const uses = new Map<PackId, PackUse>();
    this.index.refresh();
    const packs = [...this.index.packs()];
    const absent = new Map([...this.index.absentPacks()].map((pack) => [pack.id, pack]));
    for (let after: Uint8Array | undefined, more = true; more;) {
      const { objects, next } = this.index.objectsAfter(after, OBJECTS_PER_TURN);
      for (const { kind, digest, pack, storedLength } of objects) {
        const use = uses.get(pack) ?? { ...UNUSED };
        uses.set(pack, use);
        if (this.marking.has(kind, digest)) {
          use.live++;
          use.liveBytes += storedLength;
        } else {
          use.dead++;
          use.deadBytes += storedLength;
          if (kind !== ObjectKind.chunk) use.deadNodes++;
        }
      }
      after = next;
      more = next !== undefined;
      await this.pause();
    }
    return { packs, absent, uses };
  }

  /** On a disk that is too full for copies what needs none is freed all the same. */
  private async copy(copies: readonly CopyPlan[]): Promise<Copied | typeof SUPERSEDED> {
    this.phase = 'copying';
    const copied: Copied = { packs: [], done: new Set(), left: new Set() };
    const sources = new Set(copies.flatMap(({ sources: all }) => all.map(({ pack }) => pack)));
    const { publisher } = this.parts;
    for (const plan of copies) {
      await this.pause();
      try {
        const { pack, damaged } = await copyLive(this.parts, plan, this.work);
        for (const id of damaged) copied.left.add(id);
        if (pack === null) continue;
        const moved = await publisher.moveCopies({ epoch: this.epoch, pack, sources: plan.sources.map((source) => source.pack) });
        copied.packs.push(pack);
        if (!moved) return SUPERSEDED;
        this.bytes += pack.sizeBytes;
      } catch (error) {
        if (!isCairnError(error, 'ENOSPC')) throw error;
        for (const rest of copies.slice(copies.indexOf(plan))) for (const { pack } of rest.sources) copied.left.add(pack);
        break;
      }
    }
    for (const id of sources) if (!copied.left.has(id)) copied.done.add(id);
    return copied;
  }

  /** False: another collection came between. */
  private async condemn(plan: Plan, copied: Copied): Promise<boolean> {
    this.phase = 'condemning';
    const met = ({ kind, digest }: Reference): void => {
      const location = this.index.locate(kind, digest);
      if (location !== undefined) this.touched.add(location.pack);
    };
    for (let round = 1; ; round++) {
      this.index.refresh();
      await this.markFrom(
        startsSince(
          { layout: this.parts.layout, hasher: this.hasher, objects: this.nodes },
          this.index,
          this.marking,
          this.protecting(this.leases()),
        ),
        met,
      );
      await this.pause();
      const gone = [...plan.drop.map(({ id }) => id), ...plan.rewrite.map(({ id }) => id).filter((id) => !copied.left.has(id))];
      const outcome = await this.parts.publisher.condemn({
        epoch: this.epoch,
        marking: this.marking.shared,
        drop: gone.filter((id) => !this.touched.has(id)),
        hide: [...copied.left, ...gone.filter((id) => this.touched.has(id))],
        show: plan.show,
        last: round === ROUNDS,
      });
      if (outcome !== 'again') return outcome === 'done';
    }
  }

  /** Deletes what nobody can need any more, this collection's and what earlier ones had to leave. */
  private async free(plan: Plan, copied: Copied): Promise<Outcome> {
    const { publisher } = this.parts;
    this.phase = 'deleting';
    await this.pause();
    const before = this.leases();
    await publisher.doom({ before, roots: mountRoots(this.parts.mountsDir, this.hasher) });
    let freed = 0;
    for (let left = true; left;) {
      const step = await publisher.sweep(SWEEP_PACKS);
      freed += step.freed;
      left = step.left;
      await this.pause();
    }
    this.index.refresh();
    const written = copied.packs.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const waiting = waitingBytes(this.index);
    return {
      packsDropped: plan.drop.length,
      packsRewritten: copied.done.size,
      packsWritten: copied.packs.length,
      before: this.before,
      freed: freed - written,
      live: this.index.state().packBytes - condemnedBytes(this.index),
      waiting,
      blockedBy: waiting === 0 ? [] : this.blockers(),
    };
  }

  private foreseen(plan: Plan, copies: readonly CopyPlan[]): Outcome {
    const gone = [...plan.drop, ...plan.rewrite].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const written = copies.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const blockedBy = this.blockers();
    const doomed = [...this.index.doomedPacks()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const waits = blockedBy.length > 0;
    return {
      packsDropped: plan.drop.length,
      packsRewritten: plan.rewrite.length,
      packsWritten: copies.length,
      before: this.before,
      freed: (waits ? 0 : gone + doomed) - written,
      live: this.index.state().packBytes - gone + written,
      waiting: waits ? gone + doomed : 0,
      blockedBy: gone + doomed > 0 ? blockedBy : [],
    };
  }

  /** Who keeps condemned packs from being deleted. */
  private blockers(): GcReport['blockedBy'] {
    const { alive, unreadable } = this.leases();
    const { lease: own } = this.parts;
    const waiting = alive.filter((lease) => lease.pendingEpoch !== null || (lease.id !== own.id && readsAnotherIndex(lease, own.index)));
    return [
      ...waiting.map(({ id, pid, createdAtMs }) => ({ lease: id, pid, since: new Date(createdAtMs) })),
      ...unreadable.map((id) => ({ lease: id, pid: null, since: null })),
    ];
  }

  private planning(): Parameters<typeof plannedCopies>[0] {
    const { layout } = this.parts;
    return { layout, hasher: this.hasher, index: this.index, nodes: this.nodes, marking: this.marking, pause: () => this.pause() };
  }

  private leases(): Leases {
    return listLeases(this.parts.layout);
  }

  private protecting(leases: Leases): Lease[] {
    return protecting(this.parts.spec, leases);
  }

  private async pause(): Promise<void> {
    this.work.signal?.throwIfAborted();
    this.work.onProgress?.({ phase: this.phase, bytes: this.bytes, files: 0, newBytes: 0 });
    await new Promise(setImmediate);
    this.parts.assertOpen();
    this.index.refresh();
  }
}

/** Packs that a living process published since the oldest of its references without a commit: some may be only in those. */
function* sparedPacks(index: IndexReader, alive: readonly Lease[]): Generator<PackId> {
  const pending = new Map(alive.flatMap(({ id, pendingEpoch }) => (pendingEpoch === null ? [] : [[id, pendingEpoch] as const])));
  for (const { id, owner, epoch } of [...index.packs()]) {
    const since = pending.get(owner);
    if (since !== undefined && epoch >= since && index.absentPack(id) === undefined) yield id;
  }
}

function objectCount(index: IndexReader): number {
  let count = 0;
  for (const { objects } of index.packs()) count += objects;
  return count;
}

function condemnedBytes(index: IndexReader): number {
  return [...index.absentPacks()].reduce(
    (sum, { id, condemnedEpoch }) => sum + (condemnedEpoch > 0 ? (index.pack(id)?.sizeBytes ?? 0) : 0),
    0,
  );
}

function waitingBytes(index: IndexReader): number {
  return condemnedBytes(index) + [...index.doomedPacks()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** Gives up what a lease protects, of a process that is known to be gone, and cannot be looked at. @throws InvalidArgumentError */
export function breakLease({ layout, disk, lease }: CollectParts, id: string): void {
  const { alive, unreadable } = listLeases(layout);
  if (id === lease.id || !(alive.some((other) => other.id === id) || unreadable.includes(id)))
    throw new InvalidArgumentError(`there is no lease '${id}' to break`, "'cairn gc' names those that it waits for");
  disk.unlink(layout.leasePath(id));
}
