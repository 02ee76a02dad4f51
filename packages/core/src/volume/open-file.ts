import { ClosedError, InvalidArgumentError, ReadOnlyError } from '../errors.js';
import type { FileHandle } from '../types.js';

/** What an open file does its work on: a draft shared by all writers of a path, or a version that never changes. */
export interface OpenFileBacking {
  readonly writable: boolean;
  read(position: number, target: Uint8Array): Promise<number>;
  write(position: number, data: Uint8Array): Promise<void>;
  truncate(size: number): Promise<void>;
  close(): Promise<void>;
}

export class OpenFile implements FileHandle {
  private readonly backing: OpenFileBacking;
  private cursor = 0;
  private closed = false;

  constructor(backing: OpenFileBacking) {
    this.backing = backing;
  }

  async read(buffer: Uint8Array, options: { position?: number } = {}): Promise<{ bytesRead: number }> {
    this.assertOpen();
    const position = this.at(options.position);
    const bytesRead = await this.backing.read(position, buffer);
    if (options.position === undefined) this.cursor = position + bytesRead;
    return { bytesRead };
  }

  async write(data: Uint8Array, options: { position?: number } = {}): Promise<{ bytesWritten: number }> {
    this.assertWritable();
    const position = this.at(options.position);
    // The cursor moves before the write is done, so that writes that are not awaited go one behind the other.
    if (options.position === undefined) this.cursor = position + data.byteLength;
    await this.backing.write(position, data);
    return { bytesWritten: data.byteLength };
  }

  async truncate(size = 0): Promise<void> {
    this.assertWritable();
    if (!Number.isSafeInteger(size) || size < 0)
      throw new InvalidArgumentError(`no such size: ${size}`, 'give a whole number of bytes, 0 or more');
    await this.backing.truncate(size);
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.backing.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  private at(position: number | undefined): number {
    const at = position ?? this.cursor;
    if (!Number.isSafeInteger(at) || at < 0)
      throw new InvalidArgumentError(`no such position: ${at}`, 'give a whole number of bytes, 0 or more');
    return at;
  }

  private assertOpen(): void {
    if (this.closed) throw new ClosedError('file');
  }

  private assertWritable(): void {
    this.assertOpen();
    if (!this.backing.writable) throw new ReadOnlyError('a file opened with flags r');
  }
}
