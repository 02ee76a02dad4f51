import fs from 'node:fs';
import { resolve, sep } from 'node:path';
import type { Disk } from '../disk/disk.js';
import { makeFolders } from '../disk/trees.js';
import { CairnError, FileNotFoundError, PathError, ReadOnlyError, wrapIoError } from '../errors.js';
import type { ManifestRoot } from '../manifest/entry.js';
import { getEntry } from '../manifest/read.js';
import type { MountOptions } from '../types.js';
import type { MountRequest } from '../volume/mount-request.js';
import { normalizePath } from '../volume/paths.js';
import { type BackgroundPlan, backgroundPlan } from './background.js';
import { bootId } from './boot.js';
import { readIfThere, replaceFile } from './durable-file.js';
import { MountedFolder } from './folder.js';
import { claimFolder, type FolderId, isEmptyFolder, notAMount, readFolderId } from './folder-id.js';
import { knownStill } from './known-still.js';
import { stateAside } from './lost-state.js';
import { FolderMount } from './mount.js';
import { becomeOwner } from './owner.js';
import type { MountEngine } from './parts.js';
import { FolderPlaces, type MountId, StatePlaces } from './places.js';
import { decodeState, encodeState, type MountState } from './state.js';

/** Makes a folder a mount, or goes on with one. @throws what `Volume.mount` does */
export async function mountFolder(engine: MountEngine, request: MountRequest): Promise<FolderMount> {
  if (engine.readOnly) throw new ReadOnlyError('this store');
  const subPath = normalizePath(request.options.subPath ?? '');
  const background = backgroundPlan(request.options.backgroundCommit);
  const dir = openFolder(engine.disk, request.dir);
  refuseNesting(dir, engine.dir);
  const places = new FolderPlaces(dir);
  if (readFolderId(places) === undefined) requireFolderAt(engine, request.at.root, subPath);
  const id = idOf(engine, places) ?? claimFolder(engine.disk, places, engine.dir);
  return own(engine, places, id, { ...request.options, background }, async (state) => {
    if (state === undefined) {
      const fresh = newState(places, id.id, request, subPath);
      if (isEmptyFolder(dir)) return fresh;
      const lost = stateAside(engine.layout, id.id);
      // Somebody may have put something there before the state was written: none of that is ours.
      if (lost === undefined) throw foreign(dir);
      return { ...fresh, seen: await knownStill(engine, places, fresh, lost) };
    }
    if (state.volume !== request.volumeId || state.subPath !== subPath) {
      throw new PathError('ENOTEMPTY', dir, 'the folder is a mount of another volume or folder', "unmount it first ('cairn unmount DIR')");
    }
    return state;
  });
}

/** Takes over a folder that is a mount already. @throws CairnError `CAIRN_NOT_A_MOUNT`, `CAIRN_MOUNT_OWNED` */
export async function resumeFolder(engine: MountEngine, dir: string): Promise<FolderMount> {
  if (engine.readOnly) throw new ReadOnlyError('this store');
  const places = new FolderPlaces(dir);
  const id = idOf(engine, places);
  if (id === undefined) throw notAMount(dir);
  return own(engine, places, id, undefined, (state) => {
    if (state !== undefined) return Promise.resolve(state);
    if (stateAside(engine.layout, id.id) === undefined) throw notAMount(dir);
    throw new CairnError('CAIRN_NOT_A_MOUNT', `'${dir}' was a mounted folder, and its state was damaged and set aside`, {
      hint: "mount its volume there again, volume.mount(dir) or 'cairn mount VOL DIR': all files in it stay",
    });
  });
}

/** Becomes the owner, brings the folder to a whole version, and opens it for business. `options` undefined: for a call or two. */
async function own(
  engine: MountEngine,
  places: FolderPlaces,
  { id }: FolderId,
  options: (MountOptions & { background: BackgroundPlan | undefined }) | undefined,
  decide: (state: MountState | undefined) => Promise<MountState>,
): Promise<FolderMount> {
  const state = new StatePlaces(engine.mountsDir, id);
  engine.disk.mkdir(state.dir);
  const release = await becomeOwner(engine.disk, state.dir, places.dir);
  try {
    const bytes = readIfThere(state.state);
    const found = bytes === undefined ? undefined : decodeState(bytes, id, engine.hasher);
    if (found !== undefined) assertSameFolder(found, places.dir);
    const device = String(fs.statSync(places.dir, { bigint: true }).dev);
    // From before anything is looked up that the state is going to name.
    const grip = engine.lease.hold(places);
    let folder: MountedFolder;
    try {
      const ignore = options?.ignore === undefined ? {} : { ignore: options.ignore };
      const current = { ...(await decide(found)), dir: places.dir, device, ...ignore };
      replaceFile(engine.disk, state.state, encodeState(current, engine.hasher));
      folder = new MountedFolder(engine, current);
      try {
        if (found === undefined) folder.lendWriteBits();
        await takeUp(folder, options);
      } finally {
        await folder.keepRoots();
      }
    } finally {
      grip.release();
    }
    return await FolderMount.start(engine, folder, {
      background: options?.background,
      autoReload: options?.autoReload === true,
      transient: options === undefined,
      release,
    });
  } catch (error) {
    release();
    throw wrapIoError(error, `cannot mount '${places.dir}'`);
  }
}

/** Ends what was cut short, and gives the folder the write bits that were asked for. */
async function takeUp(folder: MountedFolder, options: MountOptions | undefined): Promise<void> {
  const was = folder.state.readOnly;
  const readOnly = options?.readOnly ?? was;
  // Write bits that were lent for what was cut short are still there.
  const wasCutShort = folder.state.target !== undefined;
  await folder.settle(options);
  if (readOnly !== was) folder.setReadOnly(readOnly);
  else if (readOnly && wasCutShort) folder.setWriteBits(false);
}

function newState(places: FolderPlaces, id: MountId, request: MountRequest, subPath: string): MountState {
  const { dev, ino } = fs.statSync(places.dir, { bigint: true });
  return {
    id,
    volume: request.volumeId,
    dir: places.dir,
    device: String(dev),
    inode: String(ino),
    bootId: bootId(),
    subPath,
    readOnly: request.options.readOnly === true || request.readOnly,
    ignore: request.options.ignore ?? [],
    seen: null,
    base: { generation: 0, snapshot: null },
    ownCommits: 0,
    target: request.at,
  };
}

/** Which mount a folder is; undefined for one that is empty. @throws PathError for a folder of something else */
function idOf(engine: MountEngine, places: FolderPlaces): FolderId | undefined {
  const id = readFolderId(places);
  if (id === undefined) {
    if (!isEmptyFolder(places.dir)) throw foreign(places.dir);
    return undefined;
  }
  const isKnown =
    readIfThere(new StatePlaces(engine.mountsDir, id.id).state) !== undefined || stateAside(engine.layout, id.id) !== undefined;
  if (isKnown || isEmptyFolder(places.dir)) return id;
  const hint = `mount it from there, or, to keep it as a folder of files, remove '${places.reserved}'`;
  throw new PathError('ENOTEMPTY', places.dir, `the folder is a mount of the store '${id.store}', or was one`, hint);
}

function requireFolderAt(engine: MountEngine, root: ManifestRoot, subPath: string): void {
  const entry = subPath === '' ? undefined : getEntry(engine.nodes, root, subPath);
  if (subPath !== '' && entry === undefined) throw new FileNotFoundError(subPath);
  if (entry !== undefined && entry.type !== 'directory')
    throw new PathError('ENOTDIR', subPath, 'only a folder can be mounted', 'name the folder that it is in');
}

/** Copies of a mounted folder say that they are it. */
function assertSameFolder(state: MountState, dir: string): void {
  const { dev, ino } = fs.statSync(dir, { bigint: true });
  // Devices are numbered anew at each boot.
  const isSameDevice = state.device === String(dev) || state.bootId !== bootId();
  if (isSameDevice && state.inode === String(ino)) return;
  throw new PathError(
    'ENOTEMPTY',
    dir,
    `the folder is a copy of the mount '${state.dir}'`,
    "to keep it as a folder of files, remove '.cairn-mount' in it",
  );
}

function foreign(dir: string): PathError {
  return new PathError(
    'ENOTEMPTY',
    dir,
    'the folder holds something else',
    "name an empty or new folder; 'cairn put' stores what is there",
  );
}

function openFolder(disk: Disk, dir: string): string {
  try {
    makeFolders(disk, resolve(dir));
    return fs.realpathSync(dir);
  } catch (error) {
    if (!['EEXIST', 'ENOTDIR'].includes((error as NodeJS.ErrnoException).code ?? ''))
      throw wrapIoError(error, `cannot make the folder '${dir}'`);
    throw new PathError('ENOTDIR', dir, 'a file has that name', 'name a folder, or a new name');
  }
}

function refuseNesting(dir: string, store: string): void {
  const contains = (outer: string, inner: string): boolean =>
    inner === outer || inner.startsWith(outer.endsWith(sep) ? outer : outer + sep);
  if (!contains(dir, store) && !contains(store, dir)) return;
  throw new PathError('EINVAL', dir, `a mount and its store '${store}' cannot contain each other`, 'name a folder beside the store');
}
