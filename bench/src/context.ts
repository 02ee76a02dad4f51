import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Flags } from './flags.js';
import type { Library } from './datasets/library.js';
import type { Peers } from './peers/peers.js';

/** What every row is given. */
export interface Context {
  readonly flags: Flags;
  readonly library: Library;
  readonly peers: Peers;
  /** Holds stores and repositories, on the file system that is measured. */
  readonly workDir: string;
  readonly log: (line: string) => void;
}

/** Runs `body` with an empty folder of its own, which is gone afterwards. */
export async function withWorkFolder<T>(context: Context, name: string, body: (dir: string) => Promise<T>): Promise<T> {
  const dir = join(context.workDir, name);
  await rm(dir, { recursive: true, force: true });
  await mkdir(dir, { recursive: true });
  try {
    return await body(dir);
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}
