import fs from 'node:fs';
import { promisify } from 'node:util';
import { wrapIoError } from '../errors.js';
import type { WritableFile } from './disk.js';

const writeAsync = promisify(fs.write);
const syncAsync = promisify(fs.fdatasync);

/** A descriptor that completes short writes and is poisoned by its first error. */
export class NodeFile implements WritableFile {
  readonly path: string;
  readonly fd: number;
  private readonly durable: boolean;
  private readonly isOwner: boolean;
  private failure: Error | undefined;
  private closed = false;

  /** `isOwner`: false when another thread closes the descriptor. */
  constructor(path: string, fd: number, durable: boolean, isOwner = true) {
    this.path = path;
    this.fd = fd;
    this.durable = durable;
    this.isOwner = isOwner;
  }

  writeSync(bytes: Uint8Array, position: number): void {
    this.guarded('write', () => {
      for (let done = 0; done < bytes.byteLength;) {
        done += progress(fs.writeSync(this.fd, bytes, done, bytes.byteLength - done, position + done));
      }
    });
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    return this.guardedAsync('write', async () => {
      for (let done = 0; done < bytes.byteLength;) {
        const { bytesWritten } = await writeAsync(this.fd, bytes, done, bytes.byteLength - done, position + done);
        done += progress(bytesWritten);
      }
    });
  }

  syncSync(): void {
    this.guarded('sync', () => {
      if (this.durable) fs.fdatasyncSync(this.fd);
    });
  }

  sync(): Promise<void> {
    return this.guardedAsync('sync', async () => {
      if (this.durable) await syncAsync(this.fd);
    });
  }

  setTimeSync(mtimeNs: bigint): void {
    const seconds = Number(mtimeNs) / 1e9;
    this.guarded('set the time of', () => fs.futimesSync(this.fd, seconds, seconds));
  }

  closeSync(): void {
    if (this.closed) return;
    this.closed = true;
    if (!this.isOwner) return;
    try {
      fs.closeSync(this.fd);
    } catch (error) {
      throw wrapIoError(error, `cannot close ${this.path}`);
    }
  }

  private guarded(what: string, action: () => void): void {
    this.check();
    try {
      action();
    } catch (error) {
      throw this.poison(what, error);
    }
  }

  private async guardedAsync(what: string, action: () => Promise<void>): Promise<void> {
    this.check();
    try {
      await action();
    } catch (error) {
      throw this.poison(what, error);
    }
  }

  private check(): void {
    if (this.failure !== undefined) throw this.failure;
    if (this.closed) throw new Error(`${this.path} is closed`);
  }

  private poison(what: string, error: unknown): Error {
    this.failure ??= wrapIoError(error, `cannot ${what} ${this.path}`) as Error;
    return this.failure;
  }
}

/** A write of nothing would loop for ever; the system reports a full disk by an error, so this is a broken one. */
function progress(written: number): number {
  if (written > 0) return written;
  throw Object.assign(new Error('the system wrote no bytes'), { code: 'EIO' });
}
