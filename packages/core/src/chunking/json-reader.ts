import { MalformedError } from '../util/bytes.js';

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
/** Members of one object, and elements of one array: more than any model has, few enough for hostile headers to be read fast. */
const MAX_MEMBERS = 1 << 18;
const MAX_ELEMENTS = 64;
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Pull parser for JSON from untrusted bytes: time and memory linear in their number and bounded, no recursion of its own,
 * nothing built but what the caller asks for. Whatever is no JSON, no UTF-8, or of another type raises MalformedError.
 */
export class JsonReader {
  private readonly bytes: Buffer;
  private position: number;

  constructor(bytes: Uint8Array, position = 0) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.position = position;
  }

  /** Calls `member` for each name of the object that comes next; `member` has to consume the value. */
  object(member: (name: string) => void): void {
    this.expect(0x7b);
    if (this.accept(0x7d)) return;
    let count = 0;
    do {
      if (++count > MAX_MEMBERS) throw new MalformedError('too many members');
      const name = this.string();
      this.expect(0x3a);
      member(name);
    } while (this.accept(0x2c));
    this.expect(0x7d);
  }

  /** An array of at most 64 integers from 0 to 2^53 - 1. */
  integers(): number[] {
    const values: number[] = [];
    this.expect(0x5b);
    if (this.accept(0x5d)) return values;
    do {
      if (values.length === MAX_ELEMENTS) throw new MalformedError('too many elements');
      values.push(this.integer());
    } while (this.accept(0x2c));
    this.expect(0x5d);
    return values;
  }

  string(): string {
    this.expect(QUOTE);
    const start = this.position;
    let escaped = false;
    let seen = 0;
    for (;;) {
      const byte = this.bytes[this.position++];
      if (byte === undefined || byte < 0x20) throw new MalformedError('string without end');
      if (byte === QUOTE) break;
      if (byte === BACKSLASH) {
        escaped = true;
        this.position++;
      }
      seen |= byte;
    }
    const end = this.position - 1;
    if (!escaped && seen < 0x80) return this.bytes.toString('latin1', start, end);
    try {
      const text = UTF8.decode(this.bytes.subarray(start, end));
      return escaped ? (JSON.parse(`"${text}"`) as string) : text;
    } catch {
      throw new MalformedError('string that is no JSON or no UTF-8');
    }
  }

  /** Asserts that only white space is left. */
  end(): void {
    if (this.peek() !== undefined) throw new MalformedError('bytes after the value');
  }

  private integer(): number {
    this.peek();
    const start = this.position;
    let value = 0;
    for (let byte = this.bytes[start]; byte !== undefined && byte >= 0x30 && byte <= 0x39; byte = this.bytes[++this.position]) {
      value = value * 10 + byte - 0x30;
      if (value > Number.MAX_SAFE_INTEGER || (value < 10 && this.position > start))
        throw new MalformedError('integer over 2^53 or with leading zeros');
    }
    if (this.position === start) throw new MalformedError('no unsigned integer');
    return value;
  }

  private expect(byte: number): void {
    if (!this.accept(byte)) throw new MalformedError(`no '${String.fromCharCode(byte)}' where one has to be`);
  }

  private accept(byte: number): boolean {
    if (this.peek() !== byte) return false;
    this.position++;
    return true;
  }

  /** The next byte that is no white space, not consumed. */
  private peek(): number | undefined {
    let byte = this.bytes[this.position];
    while (byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) byte = this.bytes[++this.position];
    return byte;
  }
}
