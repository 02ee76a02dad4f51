import type { Disk, WritableFile } from './disk.js';

/** A disk on which nothing changes, whatever is asked of it: for looking at what would come of something, by the code that does it. */
export class StillDisk implements Disk {
  create(path: string): WritableFile {
    return new StillFile(path);
  }

  open(path: string): WritableFile {
    return new StillFile(path);
  }

  attach(path: string): WritableFile {
    return new StillFile(path);
  }

  mkdir(): void {}

  makeFolder(): void {}

  removeFolder(): void {}

  symlink(): void {}

  rename(): void {}

  link(): void {}

  unlink(): void {}

  chmod(): void {}

  syncDirectory(): void {}

  syncSource(): Promise<void> {
    return Promise.resolve();
  }
}

class StillFile implements WritableFile {
  readonly path: string;
  /** Of nothing: no file is open. */
  readonly fd = -1;

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

  setTimeSync(): void {}

  closeSync(): void {}
}
