import { StoreFormatError } from '../errors.js';
import { MalformedError } from '../util/bytes.js';
import { Encoding } from './encoding.js';
import { loadZstd, type Zstd } from './zstd.js';

/** Turns stored bytes into logical ones. Used by one thread; holds one native context, made on first need. */
export class Decoder {
  private context: InstanceType<Zstd['DCtx']> | undefined;

  /**
   * Fills `target`, whose length is the object's logical length, from `stored`. Total: corrupt input is a
   * `MalformedError` (the target's bytes are then unspecified), never a crash, a shorter result or memory
   * beyond the target. That the bytes are the right ones is for the digest to say.
   *
   * @throws StoreFormatError for an encoding that this version does not know.
   */
  decodeInto(encoding: number, stored: Uint8Array, target: Uint8Array): void {
    if (encoding === Encoding.raw) copy(stored, target);
    else if (encoding === Encoding.zstd) this.decompress(stored, target);
    else {
      throw new StoreFormatError(
        `an object has encoding ${encoding}, which this version of Cairn does not know`,
        'the store was written by a newer Cairn: open it with that version',
      );
    }
  }

  private decompress(stored: Uint8Array, target: Uint8Array): void {
    const zstd = loadZstd();
    this.context ??= new zstd.DCtx();
    let produced: number;
    try {
      if (zstd.getFrameContentSize(stored) !== target.byteLength) throw new MalformedError('a zstd frame declares another length');
      if (zstd.findFrameCompressedSize(stored) !== stored.byteLength) throw new MalformedError('bytes after a zstd frame');
      produced = this.context.decompress(target, stored);
    } catch (error) {
      throw error instanceof MalformedError ? error : new MalformedError(`not a zstd frame: ${(error as Error).message}`, { cause: error });
    }
    if (produced !== target.byteLength) throw new MalformedError('a zstd frame ends too early');
  }
}

function copy(stored: Uint8Array, target: Uint8Array): void {
  if (stored.byteLength !== target.byteLength) throw new MalformedError('a raw object has another length than declared');
  target.set(stored);
}
