import { ObjectKind } from '../../hash/object-kind.js';
import type { IndexReader } from '../../index/reader.js';
import type { AbsentPack, PackRecord } from '../../index/records.js';
import { mountRoots } from '../../mount/roots.js';
import type { NodeSource } from '../../objects/node-store.js';
import type { PackId } from '../../pack/pack-id.js';
import type { Lease } from '../../publish/lease-file.js';
import { mark, Marking, openSnapshots, startsIn, startsSince } from '../../publish/marking.js';
import { protecting } from '../../publish/protection.js';
import type { Reference } from '../../snapshot/references.js';
import { objectCount } from '../object-count.js';
import type { CollectParts, Pauses } from './parts.js';
import { type PackUse, UNUSED } from './plan.js';
import type { View } from './view.js';

/** Rows of the index that are read at once. */
const ROWS_AT_ONCE = 256;

/** What a look through the whole index found. */
export interface Survey {
  packs: PackRecord[];
  absent: Map<PackId, AbsentPack>;
  uses: Map<PackId, PackUse>;
}

/** Finds out what is needed: first everything, then again and again what came since. Bounded memory: some bytes for each object. */
export class Needed {
  readonly marking: Marking;
  /** Stored bytes that are needed only by versions that left their histories, and may be open. */
  held = 0;
  private readonly parts: CollectParts;
  private readonly view: View;
  private readonly nodes: NodeSource;
  private readonly pauses: Pauses;

  constructor(parts: CollectParts, view: View, nodes: NodeSource, pauses: Pauses) {
    this.parts = parts;
    this.view = view;
    this.nodes = nodes;
    this.pauses = pauses;
    this.marking = new Marking(objectCount(view.index));
  }

  /** Marks what is needed now. Returns the packs of unfinished work. */
  async markAll(): Promise<Set<PackId>> {
    const { layout, hasher } = this.parts;
    const { index } = this.view;
    const spared = new Set(sparedPacks(index, this.view.leases().alive));
    for (const _known of this.marking.newPacks(index)) continue;
    await this.markFrom(this.marking.newGenerations(index));
    for (const id of spared) await this.markFrom(startsIn(layout, hasher, this.nodes, id));
    await this.markFrom(mountRoots(this.view.mounts()).map((digest) => ({ kind: ObjectKind.manifestNode, digest })));
    const fresh = ({ kind, digest }: Reference): void => void (this.held += index.locate(kind, digest)?.storedLength ?? 0);
    await this.markFrom(openSnapshots(index, this.protecting()), { fresh });
    return spared;
  }

  /** Marks what came since. */
  async markNew(met: (reference: Reference) => void): Promise<void> {
    const { layout, hasher } = this.parts;
    const { index } = this.view;
    index.refresh();
    await this.markFrom(startsSince({ layout, hasher, objects: this.nodes }, index, this.marking, this.protecting()), { met });
  }

  /** Looks at every object that the index knows. */
  async survey(): Promise<Survey> {
    const { index } = this.view;
    const uses = new Map<PackId, PackUse>();
    index.refresh();
    const packs = [...index.packs()];
    const absent = new Map([...index.absentPacks()].map((pack) => [pack.id, pack]));
    for (let after: Uint8Array | undefined, more = true; more;) {
      const { objects, next } = index.objectsAfter(after, ROWS_AT_ONCE);
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
      if (this.pauses.isDue(ROWS_AT_ONCE)) await this.pauses.take();
    }
    return { packs, absent, uses };
  }

  private async markFrom(
    starts: Iterable<Reference>,
    watch: { met?: (reference: Reference) => void; fresh?: (reference: Reference) => void } = {},
  ): Promise<void> {
    for (const start of starts) {
      for (const _step of mark({ marking: this.marking, nodes: this.nodes, ...watch }, start))
        if (this.pauses.isDue()) await this.pauses.take();
    }
  }

  private protecting(): Lease[] {
    return protecting(this.parts.spec, this.view.leases());
  }
}

/** Packs that a living process published since the oldest of its references without a commit: some may be only in those. */
function* sparedPacks(index: IndexReader, alive: readonly Lease[]): Generator<PackId> {
  const isSpared = sparing(alive);
  for (const pack of [...index.packs()]) if (isSpared(pack) && index.absentPack(pack.id) === undefined) yield pack.id;
}

/** Tells of a pack whether one of these processes published it since the oldest of its references without a commit. */
export function sparing(alive: readonly Lease[]): (pack: PackRecord) => boolean {
  const pending = new Map(alive.flatMap(({ id, pendingEpoch }) => (pendingEpoch === null ? [] : [[id, pendingEpoch] as const])));
  return ({ owner, epoch }) => {
    const since = pending.get(owner);
    return since !== undefined && epoch >= since;
  };
}
