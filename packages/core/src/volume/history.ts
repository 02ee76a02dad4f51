import { isCairnError, unlessDamaged } from '../errors.js';
import type { Digest } from '../hash/digest.js';
import { digestToHex } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import type { VolumeId, VolumeRecord } from '../index/records.js';
import { differsAt } from '../manifest/diff.js';
import type { ManifestRoot } from '../manifest/entry.js';
import { getEntry, totals, walkTree } from '../manifest/read.js';
import type { NodeSource } from '../objects/node-store.js';
import type { SnapshotRecord } from '../snapshot/record.js';
import { decodeSnapshotRecord } from '../snapshot/record.js';
import type { SnapshotId, SnapshotInfo } from '../types.js';
import { countChanges } from './diff.js';

/** Steps read from the index at once. */
const PAGE_STEPS = 256;

/** Which snapshots are listed, and how. */
export interface Listing {
  /** Only those that changed what is there. */
  path: string | undefined;
  /** The generation to begin at. */
  from: number | undefined;
  /** The volume's name now. */
  name: string;
  /** Also count what each changed. */
  changes: boolean;
  /** Hears of each snapshot that is left out since it cannot be read. */
  damaged: (step: Step, error: Error) => void;
}

/** One surviving snapshot of a volume. */
export interface Step {
  generation: number;
  id: Digest;
}

/** The history of one volume as the index tells it: what every process has committed by now. */
export class History {
  readonly volumeId: VolumeId;
  private readonly index: IndexReader;
  private readonly nodes: NodeSource;

  constructor(volumeId: VolumeId, index: IndexReader, nodes: NodeSource) {
    this.volumeId = volumeId;
    this.index = index;
    this.nodes = nodes;
  }

  /** The volume as it is now, in all processes; undefined once it is deleted. */
  volume(): VolumeRecord | undefined {
    this.index.refresh();
    return this.index.volumeById(this.volumeId);
  }

  /** From generation `from` on, itself included. */
  *newestFirst(from = Number.MAX_SAFE_INTEGER - 1): Iterable<Step> {
    for (let next: number | undefined = from; next !== undefined;) {
      const page = this.page(next);
      yield* page;
      next = page.length < PAGE_STEPS ? undefined : (page.at(-1) as Step).generation - 1;
    }
  }

  tag(name: string): Digest | undefined {
    this.index.refresh();
    return this.index.tag(this.volumeId, name);
  }

  tags(): { name: string; snapshot: SnapshotId }[] {
    this.index.refresh();
    return this.index.tags(this.volumeId).map(({ name, snapshot }) => ({ name, snapshot: digestToHex(snapshot) as string as SnapshotId }));
  }

  byPrefix(hexPrefix: string): Step[] {
    this.index.refresh();
    return this.index.snapshotsByPrefix(this.volumeId, hexPrefix).map(({ generation, snapshot }) => ({ generation, id: snapshot }));
  }

  generationOf(id: Digest): number | undefined {
    this.index.refresh();
    return this.index.generationOf(this.volumeId, id);
  }

  /** @throws DamageError when the record is missing or altered. */
  record(id: Digest): SnapshotRecord {
    return decodeSnapshotRecord(this.nodes.get(ObjectKind.snapshot, id));
  }

  /** What the public API tells of a snapshot; `name` is the volume's name now. */
  info(id: Digest, generation: number, name: string): SnapshotInfo {
    this.index.refresh();
    const record = this.record(id);
    const { files, sizeBytes } = totals(this.nodes, record.root);
    return {
      id: digestToHex(id) as string as SnapshotId,
      parent: record.parent === null ? null : (digestToHex(record.parent) as string as SnapshotId),
      volume: name,
      generation,
      createdAt: new Date(record.createdAtMs),
      message: record.message,
      metadata: record.metadata,
      files,
      size: sizeBytes,
      newBytes: record.newBytes,
      tags: this.index.tagsOf(this.volumeId, id),
    };
  }

  /** What the public API tells of each snapshot, newest first. One that is damaged hides none of the others. */
  *infos({ path, from, name, changes, damaged }: Listing): Generator<SnapshotInfo> {
    const steps = path === undefined ? this.newestFirst(from) : this.changing(path, from, damaged);
    for (const step of steps) {
      const info = readable(step, damaged, () => this.info(step.id, step.generation, name));
      if (info === undefined) continue;
      // Unknown beside a damaged snapshot, which is told of when its own turn comes.
      const counts = changes ? unlessDamaged(() => this.changesOf(step)) : undefined;
      yield counts === undefined ? info : { ...info, changes: counts };
    }
  }

  /** Files and symlinks that differ from the snapshot before, as far as that survives. */
  private changesOf(step: Step): NonNullable<SnapshotInfo['changes']> {
    const { root } = this.record(step.id);
    const [older] = this.page(step.generation - 1, 1);
    if (older === undefined) return { added: totals(this.nodes, root).files, modified: 0, removed: 0 };
    const { added, modified, removed } = countChanges(this.nodes, this.record(older.id).root, root);
    return { added, modified, removed };
  }

  /** The snapshots that differ at a path from the one before them, of those that can be read there. */
  private *changing(path: string, from: number | undefined, damaged: Listing['damaged']): Generator<Step> {
    let later: { step: Step; root: ManifestRoot } | undefined;
    for (const step of this.newestFirst(from)) {
      const root = readable(step, damaged, () => this.record(step.id).root);
      if (root === undefined) continue;
      if (later !== undefined) {
        const { step: newer, root: newerRoot } = later;
        // Of two that cannot be compared one is damaged, and the other is still to be compared with the next.
        const differs = unlessDamaged(() => differsAt(this.nodes, root, newerRoot, path));
        if (differs === undefined && readable(newer, damaged, () => this.readAt(newerRoot, path)) !== undefined) {
          readable(step, damaged, () => this.readAt(root, path));
          continue;
        }
        if (differs === true) yield newer;
      }
      later = { step, root };
    }
    if (later === undefined) return;
    const { step, root } = later;
    if (readable(step, damaged, () => differsAt(this.nodes, null, root, path)) === true) yield step;
  }

  /** Reads the whole tree at a path and below. @throws DamageError */
  private readAt(root: ManifestRoot, path: string): number {
    let entries = getEntry(this.nodes, root, path) === undefined ? 0 : 1;
    for (const _entry of walkTree(this.nodes, root, path)) entries++;
    return entries;
  }

  /** A cursor of the index must not be left open while a consumer takes its time: closing the store under it crashes the process. */
  private page(from: number, limit = PAGE_STEPS): Step[] {
    this.index.refresh();
    const steps: Step[] = [];
    for (const { generation, snapshot } of this.index.generations(this.volumeId, { from, reverse: true })) {
      if (steps.push({ generation, id: snapshot }) === limit) break;
    }
    return steps;
  }
}

function readable<T>(step: Step, damaged: Listing['damaged'], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
    damaged(step, error);
    return undefined;
  }
}
