import { copyFileSync, existsSync, linkSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import type { StoreOptions } from '@cairn/core';
import { StoreEngine } from '../../packages/core/dist/store/engine.js';
import { StoreHandle } from '../../packages/core/dist/store/store.js';
import { DirectPublisher } from './direct-publisher.js';
import type { Listing } from './simulated-disk.js';
import type { Content } from './simulated-file.js';

/** Where many small files cost least. */
const MEMORY = '/dev/shm';

/** Makes folders that are as simulated disks are. Each lies alone; files of the same bytes are one file, since a store never writes into one. */
export class Materializer {
  readonly dir = mkdtempSync(join(existsSync(MEMORY) ? MEMORY : tmpdir(), 'cairn-crash-'));
  private readonly kept = new Set<string>();
  private made = 0;

  /** A new folder with all that. */
  make(listing: Listing): string {
    const dir = join(this.dir, String(this.made++));
    mkdirSync(dir, { recursive: true });
    for (const [path, content] of listing) {
      const to = join(dir, path);
      if (content === null) mkdirSync(to, { mode: 0o700 });
      else if (content.target !== undefined) symlinkSync(content.target, to);
      // LMDB does write into its file.
      else if (basename(path) === 'data.mdb') copyFileSync(this.keep(content), to);
      else linkSync(this.keep(content), to);
    }
    return dir;
  }

  /** Removes everything that was made. More can be made afterwards. */
  clear(): void {
    rmSync(this.dir, { recursive: true, force: true });
    this.kept.clear();
  }

  private keep({ digest, bytes, mtimeNs }: Content): string {
    const path = join(this.dir, digest);
    if (!this.kept.has(digest)) {
      writeFileSync(path, bytes, { mode: 0o600 });
      // In whole microseconds, which the system cuts off from a double: a half more, or a mount's own file might look older than it made it.
      const seconds = mtimeNs === undefined ? undefined : (Number(mtimeNs) + 500) / 1e9;
      if (seconds !== undefined) utimesSync(path, seconds, seconds);
    }
    this.kept.add(digest);
    return path;
  }
}

/** An open store that starts no thread for what little is asked of it. */
export interface DirectStore {
  readonly engine: StoreEngine;
  readonly store: StoreHandle;
}

export async function openDirectly(dir: string, options: StoreOptions = {}): Promise<DirectStore> {
  const disk = { durable: false };
  const engine = await StoreEngine.open(dir, { workers: 1, ...options, disk });
  const publisher = new DirectPublisher({ dir, disk, hash: 'auto', compression: 'fast' }, engine.lease);
  Object.assign(engine, { publisher });
  return { engine, store: new StoreHandle(engine, () => engine.shutDown(), options) };
}
