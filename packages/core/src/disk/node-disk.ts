import fs from 'node:fs';
import path from 'node:path';
import { wrapIoError } from '../errors.js';
import type { Disk, WritableFile } from './disk.js';
import { NodeFile } from './node-file.js';

const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;

/** The disk of this machine. */
export class NodeDisk implements Disk {
  private readonly durable: boolean;

  constructor(durable: boolean) {
    this.durable = durable;
  }

  create(file: string): WritableFile {
    return doing(`cannot create ${file}`, () => {
      const flags = fs.constants.O_WRONLY | fs.constants.O_CREAT | fs.constants.O_EXCL;
      return new NodeFile(file, fs.openSync(file, flags, FILE_MODE), this.durable);
    });
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

  rename(from: string, to: string): void {
    doing(`cannot rename ${from} to ${to}`, () => fs.renameSync(from, to));
  }

  link(from: string, to: string): void {
    doing(`cannot link ${from} to ${to}`, () => fs.linkSync(from, to));
  }

  unlink(file: string): void {
    doing(`cannot delete ${file}`, () => fs.unlinkSync(file));
  }

  syncDirectory(folder: string): void {
    // Windows has no handle for this and journals names itself.
    if (!this.durable || process.platform === 'win32') return;
    doing(`cannot sync the folder ${folder}`, () => {
      const fd = fs.openSync(folder, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
      try {
        fs.fsyncSync(fd);
      } catch (error) {
        if (!hasCode(error, 'EINVAL', 'ENOTSUP')) throw error;
      } finally {
        fs.closeSync(fd);
      }
    });
  }
}

function hasCode(error: unknown, ...codes: string[]): boolean {
  return codes.includes((error as NodeJS.ErrnoException).code ?? '');
}

function doing<T>(what: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw wrapIoError(error, what);
  }
}
