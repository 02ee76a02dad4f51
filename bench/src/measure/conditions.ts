import { closeSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { runCommand } from '../peers/run-command.js';

const BLOCK_BYTES = 1 << 20;
const block = new Uint8Array(BLOCK_BYTES);

/**
 * Brings the machine to the same state before every timed run that writes. All dirty pages go to disk, so that nobody pays for the write-back of
 * another; then `bytes` are written and deleted, so that the pages that the run will dirty are free *in this guest*: a hypervisor takes long
 * unused memory back, and whoever touches it first then waits for it.
 */
export async function settle(dir: string, bytes: number): Promise<void> {
  await runCommand({ show: 'sync', argv: ['sync', '-f', dir] });
  const scratch = join(dir, 'scratch');
  const fd = openSync(scratch, 'w');
  try {
    for (let done = 0; done < bytes; done += BLOCK_BYTES) writeSync(fd, block, 0, Math.min(BLOCK_BYTES, bytes - done));
  } finally {
    closeSync(fd);
    rmSync(scratch);
  }
}

/** Reads every file below `dir` once, so that the page cache holds it, however it was written. */
export async function warm(dir: string): Promise<void> {
  for (const path of await filesBelow(dir)) {
    const fd = openSync(path, 'r');
    try {
      while (readSync(fd, block, 0, BLOCK_BYTES, null) > 0);
    } finally {
      closeSync(fd);
    }
  }
}

/** Blocks that the files and folders below `dir` take on disk, in bytes, as `du` counts them. Hard links would count twice: no tool here makes any. */
export async function bytesOnDisk(dir: string): Promise<number> {
  const paths = (await readdir(dir, { recursive: true })).map((name) => join(dir, name));
  let blocks = 0;
  for (const path of paths) blocks += (await lstat(path)).blocks;
  return blocks * 512;
}

async function filesBelow(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
