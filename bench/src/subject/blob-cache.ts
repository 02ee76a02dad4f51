import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { put } from 'cacache';

/** Files in flight at once: enough to keep libuv's four threads busy. */
const CONCURRENCY = 16;

export const blobCacheOperations = {
  /** Puts every file of a folder into an npm cacache by its relative path. cacache does not sync. @returns milliseconds */
  async storeInBlobCache(cacheDir: string, source: string): Promise<number> {
    const entries = await readdir(source, { recursive: true, withFileTypes: true });
    const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
    const start = performance.now();
    let next = 0;
    const lane = async (): Promise<void> => {
      for (let path = paths[next++]; path !== undefined; path = paths[next++]) {
        await put(cacheDir, path.slice(source.length + 1), await readFile(path));
      }
    };
    await Promise.all(Array.from({ length: CONCURRENCY }, lane));
    return performance.now() - start;
  },
};
