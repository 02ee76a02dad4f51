import type { Digest } from '../hash/digest.js';
import { digestToHex } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { IndexReader } from '../index/reader.js';
import type { VolumeId, VolumeRecord } from '../index/records.js';
import { diffManifests } from '../manifest/diff.js';
import type { ManifestRoot } from '../manifest/entry.js';
import { totals } from '../manifest/read.js';
import type { NodeSource } from '../objects/node-store.js';
import type { SnapshotRecord } from '../snapshot/record.js';
import { decodeSnapshotRecord } from '../snapshot/record.js';
import type { SnapshotId, SnapshotInfo } from '../types.js';

/** Steps read from the index at once. */
const PAGE_STEPS = 256;

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

  /** What the public API tells of each snapshot, newest first; with `path` only of those that changed what is there. */
  *infos({ path, from, name }: { path: string | undefined; from: number | undefined; name: string }): Generator<SnapshotInfo> {
    let later: { step: Step; root: ManifestRoot } | undefined;
    for (const step of this.newestFirst(from)) {
      if (path === undefined) {
        yield this.info(step.id, step.generation, name);
        continue;
      }
      const root = this.record(step.id).root;
      if (later !== undefined && this.differAt(path, root, later.root)) yield this.info(later.step.id, later.step.generation, name);
      later = { step, root };
    }
    if (path !== undefined && later !== undefined && this.differAt(path, null, later.root))
      yield this.info(later.step.id, later.step.generation, name);
  }

  /** A cursor of the index must not be left open while a consumer takes its time: closing the store under it crashes the process. */
  private page(from: number): Step[] {
    this.index.refresh();
    const steps: Step[] = [];
    for (const { generation, snapshot } of this.index.generations(this.volumeId, { from, reverse: true })) {
      if (steps.push({ generation, id: snapshot }) === PAGE_STEPS) break;
    }
    return steps;
  }

  /** Whether two trees differ at a path or below it. */
  private differAt(path: string, older: ManifestRoot, newer: ManifestRoot): boolean {
    for (const change of diffManifests(this.nodes, older, newer)) {
      if (path === '' || change.path === path || change.path.startsWith(`${path}/`)) return true;
    }
    return false;
  }
}
