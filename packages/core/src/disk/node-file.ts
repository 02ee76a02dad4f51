import fs from 'node:fs';
import { promisify } from 'node:util';
import { wrapIoError } from '../errors.js';
import type { WritableFile } from './disk.js';

const writeAsync = promisify(fs.write);

/** A descriptor that completes short writes, leaves O_DIRECT where it is refused, and is poisoned by its first error. */
export class NodeFile implements WritableFile {
  readonly path: string;
  private fd: number;
  private isDirect: boolean;
  private readonly durable: boolean;
  private failure: Error | undefined;
  private closed = false;

  constructor(path: string, fd: number, direct: boolean, durable: boolean) {
    this.path = path;
    this.fd = fd;
    this.isDirect = direct;
    this.durable = durable;
  }

  get direct(): boolean {
    return this.isDirect;
  }

  writeSync(bytes: Uint8Array, position: number): void {
    this.guarded('write', () => {
      for (let done = 0; done < bytes.byteLength;) {
        try {
          done += progress(fs.writeSync(this.fd, bytes, done, bytes.byteLength - done, position + done));
        } catch (error) {
          this.leaveDirect(error);
        }
      }
    });
  }

  async write(bytes: Uint8Array, position: number): Promise<void> {
    this.check();
    try {
      for (let done = 0; done < bytes.byteLength;) {
        try {
          const { bytesWritten } = await writeAsync(this.fd, bytes, done, bytes.byteLength - done, position + done);
          done += progress(bytesWritten);
        } catch (error) {
          this.leaveDirect(error);
        }
      }
    } catch (error) {
      throw this.poison('write', error);
    }
  }

  truncateSync(size: number): void {
    this.guarded('truncate', () => fs.ftruncateSync(this.fd, size));
  }

  syncSync(): void {
    this.guarded('sync', () => {
      if (this.durable) fs.fdatasyncSync(this.fd);
    });
  }

  closeSync(): void {
    if (this.closed) return;
    this.closed = true;
    try {
      fs.closeSync(this.fd);
    } catch (error) {
      throw wrapIoError(error, `cannot close ${this.path}`);
    }
  }

  /**
   * EINVAL is how a file system, or a device with larger sectors, refuses O_DIRECT or the caller's alignment: the rest
   * of the file is then written through the page cache. Any other error goes on.
   */
  private leaveDirect(error: unknown): void {
    if (!this.isDirect || (error as NodeJS.ErrnoException).code !== 'EINVAL') throw error;
    const buffered = fs.openSync(this.path, fs.constants.O_WRONLY);
    fs.closeSync(this.fd);
    this.fd = buffered;
    this.isDirect = false;
  }

  private guarded(what: string, action: () => void): void {
    this.check();
    try {
      action();
    } catch (error) {
      throw this.poison(what, error);
    }
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure;
    if (this.closed) throw new Error(`${this.path} is closed`);
  }

  private poison(what: string, error: unknown): Error {
    this.failure = wrapIoError(error, `cannot ${what} ${this.path}`) as Error;
    return this.failure;
  }
}

/** A write of nothing would loop for ever; the system reports a full disk by an error, so this is a broken one. */
function progress(written: number): number {
  if (written > 0) return written;
  throw Object.assign(new Error('the system wrote no bytes'), { code: 'EIO' });
}
