import { isUtf8 } from 'node:buffer';
import { MalformedError, type ByteWriter } from '../util/bytes.js';
import { MAX_PATH_BYTES, type Key } from './keys.js';
import type { NodeBytes } from './node-bytes.js';

const NUL = 0;
const DOT = 0x2e;
const SLASH = 0x2f;
const BACKSLASH = 0x5c;

/**
 * Writes a key as what it does not share with the one before it:
 * v(bytes shared) v(bytes added) and the added bytes. All that can be shared is.
 */
export function writeKey(writer: ByteWriter, previous: string, key: Key): void {
  let shared = 0;
  while (shared < previous.length && previous.charCodeAt(shared) === key.charCodeAt(shared)) shared++;
  writer.varint(shared).varint(key.length - shared);
  for (let i = shared; i < key.length; i++) writer.u8(key.charCodeAt(i));
}

/** The key being read. One for all readers of this thread: a node is decoded in one go. */
const KEY = Buffer.alloc(MAX_PATH_BYTES + 1);

/**
 * Reads the keys of one node, in order. Takes only what `writeKey` writes for ascending keys made by `pathToKey`:
 * a stranger's node can neither smuggle in a path that leaves the volume nor break the order.
 */
export class KeyReader {
  private length = 0;
  /** Where the key's NUL is; -1 before the first key. */
  private nul = -1;
  private ascii = true;

  /** @throws MalformedError */
  next(reader: NodeBytes): Key {
    const shared = reader.varint();
    const added = reader.varint();
    if (shared > this.length || shared + added > KEY.length) throw new MalformedError('key of an impossible length');
    const { bytes } = reader;
    const from = reader.skip(added);
    // As much as possible is shared, so the first byte added decides the order.
    if (added === 0 || (shared < this.length && bytes[from]! <= KEY[shared]!)) throw new MalformedError('keys out of order');
    if (this.nul >= shared) this.nul = -1;
    for (let i = 0; i < added; i++) {
      const byte = bytes[from + i]!;
      if (byte <= SLASH || byte >= BACKSLASH) this.checkSpecial(byte, shared + i);
      KEY[shared + i] = byte;
    }
    this.length = shared + added;
    this.endSegment(this.length);
    if (this.nul < 0) throw new MalformedError('key without a name');
    if (!this.ascii && !isUtf8(KEY.subarray(0, this.length))) throw new MalformedError('key is not UTF-8');
    return KEY.toString('latin1', 0, this.length) as Key;
  }

  private checkSpecial(byte: number, at: number): void {
    if (byte === NUL) {
      if (this.nul >= 0) throw new MalformedError('key with two names');
      if (at > 0) this.endSegment(at);
      this.nul = at;
    } else if (byte === SLASH) {
      if (this.nul >= 0) throw new MalformedError('name with a slash');
      this.endSegment(at);
    } else if (byte === BACKSLASH) throw new MalformedError('key with a backslash');
    else if (byte >= 0x80) this.ascii = false;
  }

  /** Refuses the segment that ends before `end` when it is empty, `.` or `..`. */
  private endSegment(end: number): void {
    let dots = 0;
    while (dots < 2 && end - dots > 0 && KEY[end - dots - 1] === DOT) dots++;
    const before = end - dots - 1;
    if (before < 0 || KEY[before] === SLASH || KEY[before] === NUL) throw new MalformedError('key with an empty, . or .. segment');
  }
}
