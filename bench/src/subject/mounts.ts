import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Mount } from '@cairn/core';
import { volumeIn } from './stores.js';

/** Mounted folders of this process, by path. */
const mounts = new Map<string, Mount>();

function mountAt(folder: string): Mount {
  const mount = mounts.get(folder);
  if (mount === undefined) throw new Error('the folder is not mounted');
  return mount;
}

export const mountOperations = {
  /** Makes a folder of the volume's head. @returns milliseconds until all files stand there */
  async mountFolder(dir: string, folder: string): Promise<number> {
    const volume = await volumeIn(dir);
    const start = performance.now();
    mounts.set(folder, await volume.mount(folder));
    const elapsed = performance.now() - start;
    await volume.close();
    return elapsed;
  },

  async unmountFolder(folder: string): Promise<void> {
    await mounts.get(folder)?.close();
    mounts.delete(folder);
  },

  /** @returns milliseconds of a commit of what changed, which has to be `changes` files */
  async commitFolder(folder: string, changes: number): Promise<number> {
    const start = performance.now();
    const { added, modified, removed } = await mountAt(folder).commit();
    const elapsed = performance.now() - start;
    if (added + modified + removed !== changes) throw new Error(`${added + modified + removed} files changed instead of ${changes}`);
    return elapsed;
  },

  /** Writes one file of a mounted folder anew and waits until it counts as settled. */
  async changeFile(folder: string, file: string, bytes: number, round: number): Promise<void> {
    writeFileSync(join(folder, file), new Uint8Array(bytes).fill(round + 1));
    await new Promise((resolve) => setTimeout(resolve, SETTLED_MS));
  },

  /** Commits one changed file to the volume from elsewhere. */
  async changeVolume(dir: string, file: string, bytes: number, round: number): Promise<void> {
    const volume = await volumeIn(dir);
    await volume.writeFile(file, new Uint8Array(bytes).fill(round + 101));
    await volume.commit();
    await volume.close();
  },

  /** @returns milliseconds of a reload, which has to update one file */
  async reloadFolder(folder: string): Promise<number> {
    const start = performance.now();
    const { updated } = await mountAt(folder).reload();
    const elapsed = performance.now() - start;
    if (updated !== 1) throw new Error(`${updated} files were updated instead of one`);
    return elapsed;
  },
};

/** Longer than the tick in which two writes of a file cannot be told apart. */
const SETTLED_MS = 100;
