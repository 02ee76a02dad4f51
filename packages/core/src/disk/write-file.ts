import type { Disk } from './disk.js';

/** Makes a file with these bytes, durable but for its name: that takes a sync of its folder. `EEXIST` where there is one. */
export function writeNewFile(disk: Disk, path: string, bytes: Uint8Array): void {
  const file = disk.create(path);
  try {
    file.writeSync(bytes, 0);
    file.syncSync();
  } finally {
    file.closeSync();
  }
}
