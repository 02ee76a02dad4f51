import { closeSync, fdatasyncSync, fsyncSync, mkdirSync, openSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { openStore } from '@cairn/core';
import { volumeIn, VOLUME } from './stores.js';

const FILES_PER_FOLDER = 1000;
/** Folders copied between two commits of a volume that is being filled. */
const FOLDERS_PER_COMMIT = 50;
const FILE_BYTES = 4096;

export const commitOperations = {
  /** Fills a volume with `files` entries in folders of a thousand, whose contents repeat: what grows is the tree, not the data. */
  async growVolume(dir: string, files: number): Promise<void> {
    const volume = await volumeIn(dir);
    const first = Math.min(files, FILES_PER_FOLDER);
    await volume.batchUpload(async (batch) => {
      for (let index = 0; index < first; index++) await batch.putFile({ data: fileData(index) }, `${folderPath(0)}/${fileName(index)}`);
    });
    await volume.reload();
    const folders = Math.floor(files / FILES_PER_FOLDER);
    for (let folder = 1; folder < folders; folder++) {
      await volume.copy(folderPath(0), folderPath(folder), { recursive: true });
      if (folder % FOLDERS_PER_COMMIT === 0) await volume.commit();
    }
    await volume.commit();
    await volume.close();
  },

  /** Writes one new file of 4 KiB into the volume's first folder and commits, `count` times. @returns milliseconds of each write with its commit */
  async commitOneFile(dir: string, count: number, round: number): Promise<number[]> {
    const volume = await volumeIn(dir);
    const times: number[] = [];
    for (let index = 0; index < count; index++) {
      const data = fileData(1_000_000 + round * count + index);
      const start = performance.now();
      await volume.writeFile(`${folderPath(0)}/new-${round}-${index}.bin`, data);
      await volume.commit();
      times.push(performance.now() - start);
    }
    await volume.close();
    return times;
  },

  /** What durability alone costs: a file of 4 KiB is written beside, synced, renamed into place, and its folder synced. @returns milliseconds of each */
  async writeDurably(dir: string, count: number, round: number): Promise<number[]> {
    mkdirSync(dir, { recursive: true });
    const folder = openSync(dir, 'r');
    try {
      return Array.from({ length: count }, (_, index) => {
        const data = fileData(round * count + index);
        const start = performance.now();
        const path = join(dir, `file-${round}-${index}`);
        const fd = openSync(`${path}.new`, 'wx');
        writeSync(fd, data);
        fdatasyncSync(fd);
        closeSync(fd);
        renameSync(`${path}.new`, path);
        fsyncSync(folder);
        return performance.now() - start;
      });
    } finally {
      closeSync(folder);
    }
  },

  /** Opens a store, opens its volume, reads one file, and closes it all. @returns milliseconds until the bytes are there; closing is not timed */
  async openAndRead(dir: string, round: number): Promise<number> {
    const start = performance.now();
    const store = await openStore(dir, { create: false });
    const volume = await store.volumes.fromName(VOLUME);
    const bytes = await volume.readFile(`${folderPath(0)}/${fileName(round % FILES_PER_FOLDER)}`);
    const elapsed = performance.now() - start;
    await store.close();
    if (bytes.length !== FILE_BYTES) throw new Error(`read ${bytes.length} bytes instead of ${FILE_BYTES}`);
    return elapsed;
  },
};

function folderPath(index: number): string {
  return `/part-${String(index).padStart(5, '0')}`;
}

function fileName(index: number): string {
  return `sample-${String(index).padStart(4, '0')}.bin`;
}

function fileData(index: number): Uint8Array {
  const words = new Uint32Array(FILE_BYTES / 4).fill(index);
  return new Uint8Array(words.buffer);
}
