import { CairnError, DamageError, isCairnError, ReadOnlyError } from '../../errors.js';
import type { IndexReader } from '../../index/reader.js';
import type { PackRecord } from '../../index/records.js';
import { ObjectReader } from '../../objects/object-reader.js';
import type { PackId } from '../../pack/pack-id.js';
import type { Work } from '../../types.js';
import { assertJournalAgrees } from '../compare-journal.js';
import { copyLive, type Copied, type CopyPlan, plannedCopies } from './copies.js';
import { deleteCondemned } from './deleting.js';
import { Needed } from './needed.js';
import { type CollectParts, Pauses } from './parts.js';
import { makePlan, type Plan, type PlanInput, SMALL_PACK_BYTES } from './plan.js';
import { chunksInReadingOrder } from './reading-order.js';
import { foreseen, type Outcome, outcomeOf } from './report.js';
import { roomForCopies, Scatter } from './scatter.js';
import { foreseenView, type GivenUp, type View, viewOf } from './view.js';

export interface CollectOptions extends Work {
  dryRun?: boolean;
  /** Also bring small packs together, in reading order. */
  merge: boolean;
  /** What a dry run takes for given up; a run has given it up by then. */
  given?: GivenUp;
}

/** Nodes are met once each, by parents that lie together. */
const NODE_CACHE_BYTES = 8 << 20;
/** How often a marking that another collection made worthless is begun again. */
const ATTEMPTS = 5;
/** How often what came meanwhile is marked outside of the lock, before it is marked under it whatever it takes. */
const ROUNDS = 4;

/** A collection superseded by another is begun again. */
const SUPERSEDED = Symbol('superseded');

/** Finds what nothing needs, and frees it; see docs/architecture.md. Everybody else goes on meanwhile. @throws ReadOnlyError, DamageError */
export async function collect(parts: CollectParts, options: CollectOptions): Promise<Outcome> {
  if (parts.readOnly) throw new ReadOnlyError('this store');
  options.signal?.throwIfAborted();
  // What one of the two may be hiding is not to be freed.
  await parts.run(async () => assertJournalAgrees(parts.layout, parts.index, parts.hasher));
  if (options.dryRun !== true) await parts.run(() => parts.publisher.prepareCollection());
  // What this engine has let go of must not be kept for its sake; nor what dead processes had, which has left the histories only now.
  parts.lease.advance();
  if (options.dryRun !== true)
    return parts.run(() => whileClaimed(parts, () => attempts(parts, () => Promise.resolve(viewOf(parts)), options)));
  // Asked before this call reads anything, as of a collection when it has cleared up.
  const since = parts.lease.sinceAt(Infinity);
  return parts.run(() => attempts(parts, () => foreseenView(parts, { ...options.given, since }, new Pauses(parts, options)), options));
}

/** Keeps packs from being brought together beside it by whoever commits; another collection that begins takes the claim over. */
async function whileClaimed<T>({ publisher }: CollectParts, work: () => Promise<T>): Promise<T> {
  await publisher.claimCollection({ first: true });
  try {
    return await work();
  } finally {
    await publisher.releaseCollection();
  }
}

async function attempts(parts: CollectParts, look: () => Promise<View>, options: CollectOptions): Promise<Outcome> {
  const dryRun = options.dryRun === true;
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    try {
      // Who began after this one has taken the claim.
      if (attempt > 1 && !dryRun) await parts.publisher.claimCollection({ first: true });
      const outcome = await new Collection(parts, await look(), options).run(dryRun);
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
  await whileClaimed(parts, () => new Collection(parts, viewOf(parts), { ...work, merge: false }).showOnly());
}

/** Whether what is missing are packs that another collection deleted after they were listed. */
function wasDeleted(index: IndexReader, error: unknown): boolean {
  if (!(error instanceof DamageError) || error.damage.length === 0) return false;
  index.refresh();
  return error.damage.every(({ kind, id }) => kind === 'pack' && index.pack(id as PackId) === undefined);
}

class Collection {
  private readonly parts: CollectParts;
  private readonly view: View;
  private readonly work: Work;
  private readonly merge: boolean;
  readonly index: IndexReader;
  readonly nodes: ObjectReader;
  readonly pauses: Pauses;
  private needed!: Needed;
  private epoch = 0;
  /** Packs that something lies in that was met after the index was looked through. */
  private readonly touched = new Set<PackId>();

  constructor(parts: CollectParts, view: View, { merge, ...work }: CollectOptions) {
    this.parts = parts;
    this.view = view;
    this.work = work;
    this.merge = merge;
    this.index = view.index;
    this.nodes = new ObjectReader(view.index, parts.packs, parts.hasher, NODE_CACHE_BYTES);
    this.pauses = new Pauses(parts, work);
  }

  async run(dryRun: boolean): Promise<Outcome | typeof SUPERSEDED> {
    this.index.refresh();
    const { packs, packBytes: bytes } = this.index.state();
    const before = { packs, bytes };
    const plan = await this.plan();
    const copies = plannedCopies(this.planning(), plan.rewrite);
    const { held } = this.needed;
    if (dryRun) return foreseen(this.parts, this.view, { before, held, plan, copies: await sizesOf(copies) });
    const copied = await this.copy(copies);
    if (copied === SUPERSEDED || !(await this.condemn(plan, copied))) return SUPERSEDED;
    const freed = await this.free();
    return outcomeOf(this.parts, this.view, { before, held, plan, copied, freed });
  }

  async showOnly(): Promise<void> {
    this.index.refresh();
    const plan = await this.plan();
    if (plan.show.length > 0)
      await this.condemn({ drop: [], rewrite: [], show: plan.show }, { packs: [], done: new Set(), left: new Set() });
  }

  private async plan(): Promise<Plan> {
    this.epoch = this.index.state().epoch;
    this.needed = new Needed(this.parts, this.view, this.nodes, this.pauses);
    const spared = await this.needed.markAll();
    this.pauses.phase = 'sorting';
    const survey = await this.needed.survey();
    return makePlan({ ...survey, spared, ...(this.merge ? { merge: await this.order(survey.packs) } : {}) });
  }

  /** How the packs that are not small lie for their readers, and how much may be copied to put that right. */
  private async order(packs: readonly PackRecord[]): Promise<NonNullable<PlanInput['merge']>> {
    const scatter = new Scatter(packs.filter(({ sizeBytes }) => sizeBytes >= SMALL_PACK_BYTES));
    for await (const location of chunksInReadingOrder(this)) scatter.read(location);
    const { packBytes } = this.index.state();
    return { scatter, roomBytes: roomForCopies(this.parts.dir, { packBytes, maxBytes: this.parts.maxBytes }) };
  }

  /** On a disk that is too full for copies what needs none is freed all the same. */
  private async copy(copies: AsyncIterable<CopyPlan>): Promise<Copied | typeof SUPERSEDED> {
    this.pauses.phase = 'copying';
    const copied: Copied = { packs: [], done: new Set(), left: new Set() };
    const { publisher } = this.parts;
    const sources = new Set<PackId>();
    let isFull = false;
    for await (const plan of copies) {
      const from = plan.sources.map(({ pack }) => pack);
      for (const id of from) sources.add(id);
      if (isFull) {
        for (const id of from) copied.left.add(id);
        continue;
      }
      await this.pauses.take();
      try {
        const { pack, damaged } = await copyLive(this.parts, plan, this.work);
        for (const id of damaged) copied.left.add(id);
        if (pack === null) continue;
        const moved = await publisher.moveCopies({ epoch: this.epoch, pack, sources: from });
        copied.packs.push(pack);
        if (!moved) return SUPERSEDED;
        this.pauses.bytes += pack.sizeBytes;
      } catch (error) {
        if (!isCairnError(error, 'ENOSPC')) throw error;
        isFull = true;
        for (const id of from) copied.left.add(id);
      }
    }
    for (const id of sources) if (!copied.left.has(id)) copied.done.add(id);
    return copied;
  }

  /** False: another collection came between. */
  private async condemn(plan: Plan, copied: Copied): Promise<boolean> {
    this.pauses.phase = 'condemning';
    const gone = [...plan.drop.map(({ id }) => id), ...plan.rewrite.map(({ id }) => id).filter((id) => !copied.left.has(id))];
    for (let round = 1; ; round++) {
      await this.needed.markNew(({ kind, digest }) => {
        const location = this.index.locate(kind, digest);
        if (location !== undefined) this.touched.add(location.pack);
      });
      await this.pauses.take();
      const outcome = await this.parts.publisher.condemn({
        epoch: this.epoch,
        marking: this.needed.marking.shared,
        drop: gone.filter((id) => !this.touched.has(id)),
        hide: [...copied.left, ...gone.filter((id) => this.touched.has(id))],
        show: plan.show,
        last: round === ROUNDS,
      });
      if (outcome !== 'again') return outcome === 'done';
    }
  }

  private async free(): Promise<number> {
    this.pauses.phase = 'deleting';
    await this.pauses.take();
    return deleteCondemned(this.parts, this.pauses);
  }

  private planning(): Parameters<typeof plannedCopies>[0] {
    const { layout, hasher } = this.parts;
    return { layout, hasher, index: this.index, nodes: this.nodes, needed: this.needed.marking, pauses: this.pauses };
  }
}

/** What a dry run needs of its plans. */
async function sizesOf(copies: AsyncIterable<CopyPlan>): Promise<{ sizeBytes: number }[]> {
  const sizes: { sizeBytes: number }[] = [];
  for await (const { sizeBytes } of copies) sizes.push({ sizeBytes });
  return sizes;
}
