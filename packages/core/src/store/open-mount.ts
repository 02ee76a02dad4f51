import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { DiskSpec } from '../disk/disk.js';
import { wrapIoError } from '../errors.js';
import { connectOwner, RemoteMount } from '../mount/control-client.js';
import { notAMount, readFolderId } from '../mount/folder-id.js';
import { livingOwner, ownedBy } from '../mount/owner.js';
import { FolderPlaces, RESERVED_NAME, StatePlaces } from '../mount/places.js';
import { StoreLayout } from '../pack/store-layout.js';
import type { MountControl } from '../types.js';
import { shareEngine } from './engine-registry.js';
import { StoreEngine } from './engine.js';
import { realStorePath } from './open-dir.js';

/** An owner that has just begun, or is about to end, does not answer for a moment. */
const ATTEMPTS = 20;
const PAUSE_MS = 50;

/**
 * The mount that a folder is, or lies in. Works through the process that owns it; where none does, this one owns it until
 * `close()`. `store`: where the store is now, if it was moved since.
 * @throws CairnError `CAIRN_NOT_A_MOUNT`, `CAIRN_STORE_NOT_FOUND`, `CAIRN_MOUNT_OWNED` when the owner does not answer
 */
export function openMount(dir: string, options: { store?: string } = {}): Promise<MountControl> {
  return openMountOn({ durable: true }, dir, options);
}

/** @internal The same on any disk: tests inject faults by it. */
export async function openMountOn(disk: DiskSpec, dir: string, options: { store?: string } = {}): Promise<MountControl> {
  const folder = mountAbove(dir);
  const id = readFolderId(new FolderPlaces(folder));
  if (id === undefined) throw notAMount(folder);
  const store = realStorePath(options.store ?? id.store);
  const { dir: stateDir } = new StatePlaces(new StoreLayout(store).mountsDir, id.id);
  for (let attempt = 1; ; attempt++) {
    const owner = livingOwner(undefined, stateDir);
    if (owner === undefined) break;
    const socket = await connectOwner(stateDir);
    socket?.destroy();
    if (socket !== undefined) return new RemoteMount(folder, stateDir, owner.pid);
    if (attempt === ATTEMPTS) throw ownedBy(folder, owner);
    await sleep(PAUSE_MS);
  }
  const { engine, release } = await shareEngine(store, () => StoreEngine.open(store, { create: false, disk }));
  try {
    const mount = await engine.resumeMount(folder);
    const close: MountControl['close'] = async (closing) => {
      await mount.close(closing);
      await release();
    };
    return {
      dir: mount.dir,
      status: (work) => mount.status(work),
      commit: (work) => mount.commit(work),
      reload: (work) => mount.reload(work),
      close,
      [Symbol.asyncDispose]: close,
    };
  } catch (error) {
    await release();
    throw error;
  }
}

function mountAbove(dir: string): string {
  let folder: string;
  try {
    folder = realpathSync(dir);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') throw notAMount(dir);
    throw wrapIoError(error, `cannot open '${dir}'`);
  }
  for (let at = folder; ; at = dirname(at)) {
    if (existsSync(join(at, RESERVED_NAME))) return at;
    if (at === dirname(at)) throw notAMount(folder);
  }
}
