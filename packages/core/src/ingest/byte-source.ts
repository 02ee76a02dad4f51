import { reads } from '../disk/reads.js';
import { SourceChangedError } from '../errors.js';
import { reading } from './source.js';

/** Bytes that a unit reads: a file by position, or a stream that goes only forward. */
export interface ByteSource {
  /**
   * Fills `target` from `position`; a stream that ends gives less. A stream can go back no further than what was released.
   * @throws SourceChangedError for a file that has become too short.
   */
  read(target: Uint8Array, position: number): Promise<number>;
  /** Nothing before `position` will be asked for again. */
  release(position: number): void;
}

/** A file by its descriptor, which stays the caller's. Reads block the thread: that is what the thread is for. */
export class FileBytes implements ByteSource {
  private readonly path: string;
  private readonly fd: number;

  constructor(path: string, fd: number) {
    this.path = path;
    this.fd = fd;
  }

  async read(target: Uint8Array, position: number): Promise<number> {
    return reading(this.path, () => {
      for (let done = 0; done < target.byteLength;) {
        const count = reads.readSync(this.fd, target, done, target.byteLength - done, position + done);
        if (count === 0) throw new SourceChangedError(this.path);
        done += count;
      }
      return target.byteLength;
    });
  }

  release(): void {}
}
