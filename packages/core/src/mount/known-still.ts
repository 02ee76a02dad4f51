import { PathError, unlessDamaged } from '../errors.js';
import type { Digest } from '../hash/digest.js';
import { objectMapKey, ObjectKind } from '../hash/object-kind.js';
import type { VolumeId } from '../index/records.js';
import { type ManifestRoot, sameRoot } from '../manifest/entry.js';
import { Staging } from '../objects/staging.js';
import { type Reference, referencesOf } from '../snapshot/references.js';
import { stagedBelow } from '../snapshot/staged-below.js';
import { History } from '../volume/history.js';
import { lstat } from './lstat.js';
import type { MountEngine } from './parts.js';
import { type FolderPlaces, type MountId, StatePlaces } from './places.js';
import { RealFolders } from './real-folders.js';
import { Window } from './seen-tree.js';
import { StatFiles } from './stat-files.js';
import { remainsOf } from './state.js';

/**
 * What a folder whose state was lost can be said to hold: the tree that the remains of the state name, or else the stat cache, without
 * what is not in the folder now, which comes back. Whatever differs from it is the user's edit. Null when no tree is certain: then all that
 * is in the folder is. The caller holds a grip on the lease.
 * @throws PathError when the mount was one of another volume
 */
export async function knownStill(
  engine: MountEngine,
  places: FolderPlaces,
  { id, volume, subPath }: { id: MountId; volume: VolumeId; subPath: string },
  lostState: Uint8Array,
): Promise<ManifestRoot> {
  const remains = remainsOf(Buffer.from(lostState).toString('utf8'));
  engine.index.refresh();
  if (remains.volume !== undefined && remains.volume !== volume && engine.index.volumeById(remains.volume as VolumeId) !== undefined)
    throw new PathError('ENOTEMPTY', places.dir, 'the folder is a mount of another volume', 'mount that one there, or name another folder');
  const { dir } = new StatePlaces(engine.mountsDir, id);
  const candidates = [remains.seen, new StatFiles(engine.disk, dir, engine.hasher).lastRoot()];
  for (const root of candidates) {
    // The cache may be of a mount of a volume that is gone: its tree says nothing about this one.
    if (root === undefined || root === null || !(remains.volume === volume || isInHistory(engine, volume, root))) continue;
    if (isKept(engine, root)) return withoutAbsent(engine, places, root, subPath);
  }
  engine.diagnostics.log('warn', `what '${places.dir}' held when its state was lost is not known: all files in it count as edits`);
  return null;
}

function isInHistory({ index, nodes }: MountEngine, volume: VolumeId, root: Digest): boolean {
  const history = new History(volume, index, nodes);
  for (const { id } of history.newestFirst()) if (sameRoot(unlessDamaged(() => history.record(id))?.root ?? null, root)) return true;
  return false;
}

/** Whether all of a tree is there, and in no pack that a collection has given up already. Below what counts as present all is present. */
function isKept({ index, nodes }: MountEngine, root: Digest): boolean {
  const met = new Set<string>();
  const waiting: Reference[] = [{ kind: ObjectKind.manifestNode, digest: root }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { kind, digest } = next;
    const key = objectMapKey(kind, digest);
    if (met.has(key)) continue;
    met.add(key);
    const location = index.locate(kind, digest);
    if (location === undefined || index.pack(location.pack) === undefined) return false;
    const absent = index.absentPack(location.pack);
    if (absent === undefined) continue;
    const below =
      absent.condemnedEpoch > 0
        ? undefined
        : kind === ObjectKind.chunk
          ? []
          : unlessDamaged(() => referencesOf(kind, nodes.get(kind, digest)));
    if (below === undefined) return false;
    waiting.push(...below);
  }
  return true;
}

/** Takes out what is not in the folder: deleted by the user or by the damage, it must not count as deleted. */
async function withoutAbsent(engine: MountEngine, places: FolderPlaces, root: Digest, subPath: string): Promise<ManifestRoot> {
  const staging = new Staging(engine.nodes, engine.hasher);
  const window = new Window(staging, subPath);
  const real = new RealFolders(places);
  const absent = new Map<string, null>();
  for (const [path] of window.walk(root, '')) if (!real.hold(path) || lstat(places.local(path)) === undefined) absent.set(path, null);
  const left = window.edit(root, absent);
  const objects = [...stagedBelow(staging, left)];
  if (objects.length > 0) await engine.publisher.writeObjects(objects);
  engine.index.refresh();
  return left;
}
