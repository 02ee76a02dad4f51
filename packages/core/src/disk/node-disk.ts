import fs from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import { wrapIoError } from '../errors.js';
import type { Disk, WritableFile } from './disk.js';
import { NodeFile } from './node-file.js';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
/** Said where there is nothing to be synced, or no way to do it: Windows takes no descriptor that may only read. */
const CANNOT_SYNC = process.platform === 'win32' ? ['EINVAL', 'ENOTSUP', 'EPERM'] : ['EINVAL', 'ENOTSUP'];

const syncAsync = promisify(fs.fdatasync);

/** The disk of this machine. */
export class NodeDisk implements Disk {
  private readonly durable: boolean;

  constructor(durable: boolean) {
    this.durable = durable;
  }

  create(file: string, mode = FILE_MODE): WritableFile {
    const { O_WRONLY, O_CREAT, O_EXCL } = fs.constants;
    const fd = doing(`cannot create ${file}`, () => fs.openSync(file, O_WRONLY | O_CREAT | O_EXCL, mode));
    return new NodeFile(file, fd, this.durable);
  }

  open(file: string): WritableFile {
    const { O_WRONLY, O_NOFOLLOW } = fs.constants;
    const fd = doing(`cannot open ${file}`, () => fs.openSync(file, O_WRONLY | (O_NOFOLLOW ?? 0)));
    return new NodeFile(file, fd, this.durable);
  }

  attach(file: string, fd: number): WritableFile {
    return new NodeFile(file, fd, this.durable, false);
  }

  mkdir(folder: string): void {
    doing(`cannot create ${folder}`, () => {
      const first = fs.mkdirSync(folder, { recursive: true, mode: FOLDER_MODE });
      if (first === undefined) return;
      for (let made = path.resolve(folder); ; made = path.dirname(made)) {
        this.syncDirectory(path.dirname(made));
        if (made === path.resolve(first)) return;
      }
    });
  }

  makeFolder(folder: string, mode = 0o777): void {
    doing(`cannot create ${folder}`, () => fs.mkdirSync(folder, mode));
  }

  removeFolder(folder: string): void {
    doing(`cannot remove ${folder}`, () => fs.rmdirSync(folder));
  }

  symlink(target: string, file: string): void {
    doing(`cannot create ${file}`, () => fs.symlinkSync(target, file));
  }

  rename(from: string, to: string): void {
    doing(`cannot rename ${from} to ${to}`, () => fs.renameSync(from, to));
  }

  link(from: string, to: string): void {
    doing(`cannot link ${from} to ${to}`, () => fs.linkSync(from, to));
  }

  unlink(file: string): void {
    doing(`cannot delete ${file}`, () => fs.unlinkSync(file));
  }

  chmod(file: string, mode: number): void {
    doing(`cannot change the mode of ${file}`, () => fs.chmodSync(file, mode));
  }

  syncDirectory(folder: string): void {
    // Windows has no handle for this and journals names itself.
    if (!this.durable || process.platform === 'win32') return;
    doing(`cannot sync the folder ${folder}`, () => {
      const fd = fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
      try {
        fs.fsyncSync(fd);
      } catch (error) {
        if (!CANNOT_SYNC.includes(codeOf(error))) throw error;
      } finally {
        fs.closeSync(fd);
      }
    });
  }

  async syncSource(file: string, fd: number): Promise<void> {
    try {
      await syncAsync(fd);
    } catch (error) {
      if (!CANNOT_SYNC.includes(codeOf(error))) throw wrapIoError(error, `cannot sync ${file}`);
    }
  }
}

function codeOf(error: unknown): string {
  return (error as NodeJS.ErrnoException).code ?? '';
}

function doing<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw wrapIoError(error, what);
  }
}
