import type { Disk, WritableFile } from './disk.js';

/** A disk on which nothing changes, whatever is asked of it: for looking at what would come of something, by the code that does it. */
export class StillDisk implements Disk {
  create(path: string): WritableFile {
    return new StillFile(path);
  }

  mkdir(): void {}

  rename(): void {}

  link(): void {}

  unlink(): void {}

  syncDirectory(): void {}
}

class StillFile implements WritableFile {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  writeSync(): void {}

  write(): Promise<void> {
    return Promise.resolve();
  }

  syncSync(): void {}

  sync(): Promise<void> {
    return Promise.resolve();
  }

  closeSync(): void {}
}
