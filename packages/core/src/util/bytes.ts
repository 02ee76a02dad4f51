/** Growable writer for our binary records: little-endian integers and LEB128 varints. */
export class ByteWriter {
  private buffer: Uint8Array;
  private view: DataView;
  private used = 0;

  constructor(initialBytes = 256) {
    this.buffer = new Uint8Array(initialBytes);
    this.view = new DataView(this.buffer.buffer);
  }

  get length(): number {
    return this.used;
  }

  u8(value: number): this {
    this.reserve(1);
    this.buffer[this.used++] = value;
    return this;
  }

  u16(value: number): this {
    this.reserve(2);
    this.view.setUint16(this.used, value, true);
    this.used += 2;
    return this;
  }

  u32(value: number): this {
    this.reserve(4);
    this.view.setUint32(this.used, value, true);
    this.used += 4;
    return this;
  }

  /** An unsigned integer up to 2^53 - 1 in 8 bytes. */
  u64(value: number): this {
    this.reserve(8);
    this.view.setBigUint64(this.used, BigInt(value), true);
    this.used += 8;
    return this;
  }

  i64(value: bigint): this {
    this.reserve(8);
    this.view.setBigInt64(this.used, value, true);
    this.used += 8;
    return this;
  }

  /** Unsigned LEB128, up to 2^53 - 1, in its only shortest form. */
  varint(value: number): this {
    this.reserve(8);
    while (value >= 0x80) {
      this.buffer[this.used++] = (value % 0x80) | 0x80;
      value = Math.floor(value / 0x80);
    }
    this.buffer[this.used++] = value;
    return this;
  }

  bytes(data: Uint8Array): this {
    this.reserve(data.byteLength);
    this.buffer.set(data, this.used);
    this.used += data.byteLength;
    return this;
  }

  /** Length as a varint, then the bytes. */
  sized(data: Uint8Array): this {
    return this.varint(data.byteLength).bytes(data);
  }

  /** A UTF-8 string, length first. */
  text(value: string): this {
    return this.sized(Buffer.from(value, 'utf8'));
  }

  /** What was written, as memory of its own. */
  finish(): Uint8Array {
    return this.buffer.slice(0, this.used);
  }

  private reserve(bytes: number): void {
    if (this.used + bytes <= this.buffer.byteLength) return;
    const grown = new Uint8Array(Math.max(this.buffer.byteLength * 2, this.used + bytes));
    grown.set(this.buffer.subarray(0, this.used));
    this.buffer = grown;
    this.view = new DataView(grown.buffer);
  }
}

/** Raised by `ByteReader` on bytes that are no well-formed record; callers turn it into a typed error. */
export class MalformedError extends Error {}

/** Bounds-checked reader: every length is checked against what is there before it is used. */
export class ByteReader {
  private readonly view: DataView;
  private readonly bytesIn: Uint8Array;
  position: number;

  constructor(bytes: Uint8Array, position = 0) {
    // Not a Buffer, whose slice() would be a view on memory that may be used again.
    this.bytesIn = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = position;
  }

  get remaining(): number {
    return this.bytesIn.byteLength - this.position;
  }

  u8(): number {
    return this.view.getUint8(this.advance(1));
  }

  u16(): number {
    return this.view.getUint16(this.advance(2), true);
  }

  u32(): number {
    return this.view.getUint32(this.advance(4), true);
  }

  u64(): number {
    const value = this.view.getBigUint64(this.advance(8), true);
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new MalformedError('integer over 2^53');
    return Number(value);
  }

  i64(): bigint {
    return this.view.getBigInt64(this.advance(8), true);
  }

  varint(): number {
    let value = 0;
    let scale = 1;
    for (let i = 0; i < 8; i++) {
      const byte = this.u8();
      value += (byte & 0x7f) * scale;
      if (value > Number.MAX_SAFE_INTEGER) break;
      if (byte < 0x80) {
        if (byte === 0 && i > 0) throw new MalformedError('varint not in its shortest form');
        return value;
      }
      scale *= 0x80;
    }
    throw new MalformedError('varint over 2^53');
  }

  /** A view, not a copy. */
  bytes(length: number): Uint8Array {
    const start = this.advance(length);
    return this.bytesIn.subarray(start, start + length);
  }

  sized(): Uint8Array {
    return this.bytes(this.varint());
  }

  text(): string {
    const bytes = this.sized();
    try {
      return UTF8.decode(bytes);
    } catch (error) {
      throw new MalformedError('text that is not UTF-8', { cause: error });
    }
  }

  /** Asserts that nothing is left: trailing bytes are a sign of damage. */
  end(): void {
    if (this.remaining !== 0) throw new MalformedError(`${this.remaining} bytes too many`);
  }

  private advance(length: number): number {
    if (length > this.remaining) throw new MalformedError('record ends too early');
    const start = this.position;
    this.position += length;
    return start;
  }
}

/** A leading byte order mark is text like any other: dropping it would change what was stored. */
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
