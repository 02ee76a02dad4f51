import { unlessDamaged, VolumeNotFoundError } from '../errors.js';
import type { Digest } from '../hash/digest.js';
import { digestFromHex } from '../hash/digest.js';
import { ObjectKind, objectMapKey } from '../hash/object-kind.js';
import { ObjectWalker, publishedBelow, type Walk } from '../snapshot/walk-down.js';
import type { PrunePolicy, PruneReport, SnapshotInfo, Work } from '../types.js';
import type { Engine } from './engine.js';
import type { History } from './history.js';
import { checkPolicy, keptGenerations } from './prune-policy.js';

export interface Pruning {
  engine: Engine;
  history: History;
  /** The volume's name, for what is reported. */
  name: string;
  policy: PrunePolicy;
  options: Work & { dryRun?: boolean };
}

/**
 * Takes out of a volume's history what no rule keeps. What that frees is measured before it is done. A snapshot that cannot be
 * read is kept: neither its time nor its metadata is known, and a repair may bring it back.
 * @throws InvalidArgumentError, VolumeNotFoundError
 */
export async function pruneVolume({ engine, history, name, policy, options }: Pruning): Promise<PruneReport> {
  checkPolicy(policy);
  options.signal?.throwIfAborted();
  const volume = history.volume();
  if (volume === undefined) throw new VolumeNotFoundError(name);
  const steps = [...history.newestFirst()];
  const readable = steps.flatMap((step) => unlessDamaged(() => history.info(step.id, step.generation, name)) ?? []);
  const kept = keptGenerations(
    policy,
    readable.map(({ generation, createdAt, metadata }) => ({ generation, createdAtMs: createdAt.getTime(), metadata })),
    {
      nowMs: engine.now().getTime(),
      head: volume.generation,
      tagged: new Set(readable.filter(({ tags }) => tags.length > 0).map(({ generation }) => generation)),
    },
  );
  const removed = readable.filter(({ generation }) => !kept.has(generation));
  const report = { removed, kept: steps.length - removed.length, freed: await onlyKeptBy(engine, history, removed, options) };
  options.signal?.throwIfAborted();
  if (options.dryRun === true || removed.length === 0) return report;

  const generations = removed.map(({ generation }) => generation);
  const { applied } = await engine.publisher.change({ type: 'prune', volumeId: volume.id, generations }, { label: name });
  const done = new Set(applied?.type === 'prune' ? applied.generations : []);
  if (done.size === removed.length) return report;
  // Somebody tagged one of them meanwhile, or took it out himself.
  const ours = removed.filter(({ generation }) => done.has(generation));
  return { removed: ours, kept: [...history.newestFirst()].length, freed: await onlyKeptBy(engine, history, ours, options) };
}

/** Stored bytes of what some snapshots of a volume need, and nothing else in the store does. */
async function onlyKeptBy(engine: Engine, history: History, snapshots: SnapshotInfo[], work: Work): Promise<number> {
  if (snapshots.length === 0) return 0;
  const { index } = engine;
  index.refresh();
  const pause = async (): Promise<void> => {
    work.signal?.throwIfAborted();
    work.onProgress?.({ phase: 'prune', bytes: 0, files: 0, newBytes: 0 });
    await new Promise(setImmediate);
  };
  const below = wholeBelow(publishedBelow(engine.nodes));
  const sizes = new Map<string, number>();
  const doomed = new ObjectWalker({
    enter: ({ kind, digest }) => {
      const key = objectMapKey(kind, digest);
      if (sizes.has(key)) return false;
      sizes.set(key, index.locate(kind, digest)?.storedLength ?? 0);
      return true;
    },
    below,
    pause,
  });
  for (const { id } of snapshots) await doomed.from({ kind: ObjectKind.snapshot, digest: digestFromHex(id) });

  const seen = new Set<string>();
  const others = new ObjectWalker({
    enter: ({ kind, digest }) => {
      const key = objectMapKey(kind, digest);
      sizes.delete(key);
      if (kind === ObjectKind.chunk || seen.has(key)) return false;
      seen.add(key);
      return true;
    },
    below,
    pause,
  });
  const gone = new Set(snapshots.map(({ generation }) => generation));
  for (const digest of snapshotsBut(engine, history, gone)) {
    if (sizes.size === 0) break;
    await others.from({ kind: ObjectKind.snapshot, digest });
  }
  let bytes = 0;
  for (const size of sizes.values()) bytes += size;
  return bytes;
}

function snapshotsBut({ index }: Engine, { volumeId }: History, gone: ReadonlySet<number>): Digest[] {
  return index
    .volumes()
    .flatMap(({ id }) => [...index.generations(id)].filter(({ generation }) => id !== volumeId || !gone.has(generation)))
    .map(({ snapshot }) => snapshot);
}

/** Damage elsewhere in the store does not stand in the way: what a damaged object needs cannot be told, and is not counted as kept. */
function wholeBelow(below: Walk['below']): Walk['below'] {
  return (reference) => unlessDamaged(() => below(reference)) ?? [];
}
