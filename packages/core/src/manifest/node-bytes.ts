import { MalformedError } from '../util/bytes.js';

/**
 * A bounds-checked position in a node's bytes. Decoding nodes is the inner loop of every walk, diff and lookup, so unlike `ByteReader`
 * this makes no views: at over a hundred items a node, they would take most of the time.
 */
export class NodeBytes {
  readonly bytes: Uint8Array;
  position: number;

  constructor(bytes: Uint8Array, position: number) {
    this.bytes = bytes;
    this.position = position;
  }

  get atEnd(): boolean {
    return this.position >= this.bytes.length;
  }

  u8(): number {
    const byte = this.bytes[this.position++];
    if (byte === undefined) throw new MalformedError('node ends too early');
    return byte;
  }

  /** Moves on by `count` bytes and returns where they start. */
  skip(count: number): number {
    const start = this.position;
    if (count > this.bytes.length - start) throw new MalformedError('node ends too early');
    this.position = start + count;
    return start;
  }

  /** Unsigned LEB128, up to 2^53 - 1, in its only shortest form. */
  varint(): number {
    let byte = this.u8();
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    for (let scale = 0x80; scale <= 2 ** 49; scale *= 0x80) {
      byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (byte >= 0x80) continue;
      if (byte === 0) throw new MalformedError('varint not in its shortest form');
      if (value > Number.MAX_SAFE_INTEGER) break;
      return value;
    }
    throw new MalformedError('varint over 2^53');
  }
}
