import type { WritableFile } from '../disk/disk.js';
import { Encoding } from '../encoding/encoding.js';
import type { Digest } from '../hash/digest.js';
import type { ObjectKind } from '../hash/object-kind.js';
import { alignUp, assertStorable, encodeFooter, MAX_PACK_OBJECTS, PAGE_BYTES, payloadStart, type SealedPack } from './footer.js';
import { TableBuilder } from './object-table.js';
import { newPackId, type PackId } from './pack-id.js';
import type { PackShelf } from './pack-shelf.js';

const MIN_BUFFER_BYTES = 1 << 20;

/**
 * Writes one big pack: payloads collect in one of the caller's two buffers while the other is being written, and while what
 * was written before that goes to the disk, so that little is left to do for the sync at the end. The buffers must be whole
 * pages; they belong to the writer until `seal` or `abort` is done.
 *
 * File data can be read straight into the pack: `reserve` a window, read and hash there, then `commitRaw`, or just go
 * on (with `append` of the compressed bytes, or another `reserve`), which costs nothing. After any error only `abort` is left.
 */
export class PackWriter {
  readonly id: PackId;
  private readonly shelf: PackShelf;
  private readonly table = new TableBuilder();
  private file: WritableFile | undefined;
  private buffer: Uint8Array;
  private spare: Uint8Array;
  /** Bytes of `buffer` that hold payloads; `buffer[0]` is the file's byte `flushed`, always on a page. */
  private used = 0;
  private flushed = 0;
  /** The last buffer on its way into the page cache. */
  private flight: Promise<void> | undefined;
  /** What is on its way from there to the disk, one at a time. Never rejects: its error comes back from the next use of the file. */
  private syncing: Promise<void> | undefined;
  /** The part of `buffer` that `commitRaw` may take. */
  private window: { start: number; length: number } | undefined;
  private state: 'open' | 'failed' | 'sealed' | 'aborted' = 'open';

  /** @param id for tests that pin the bytes. */
  constructor(shelf: PackShelf, buffers: readonly [Uint8Array, Uint8Array], id: PackId = newPackId()) {
    const [first, second] = buffers;
    if (first.byteLength !== second.byteLength || first.byteLength < MIN_BUFFER_BYTES || first.byteLength % PAGE_BYTES !== 0) {
      throw new RangeError('a pack writer takes two buffers of one size, whole pages, 1 MiB or more');
    }
    this.shelf = shelf;
    this.id = id;
    this.buffer = first;
    this.spare = second;
  }

  get objectCount(): number {
    return this.table.count;
  }

  /** Bytes so far, without the footer. */
  get payloadBytes(): number {
    return this.flushed + this.used;
  }

  /**
   * A window of `length` bytes where a raw payload of that length goes. Its content is arbitrary, and it is valid until
   * the next call of any method. A promise comes back only when the buffers are full and the disk has to catch up.
   */
  reserve(length: number): Uint8Array | Promise<Uint8Array> {
    this.checkOpen();
    if (length > this.buffer.byteLength) throw new RangeError(`a window of ${length} bytes does not fit into the buffers`);
    const start = payloadStart(this.used, Encoding.raw, length);
    if (start + length <= this.buffer.byteLength) return this.openWindow(start, length);
    // Flushing up to a page border leaves an empty buffer, which any window fits into.
    const border = alignUp(this.used, PAGE_BYTES);
    this.buffer.fill(0, this.used, border);
    this.used = border;
    return this.flush().then(() => this.openWindow(0, length));
  }

  /** Keeps the first `length` bytes of the window (all by default) as an object's raw payload. */
  commitRaw(kind: ObjectKind, digest: Digest, length?: number): void {
    this.checkOpen();
    const window = this.window;
    const bytes = length ?? window?.length ?? 0;
    if (window === undefined || bytes > window.length) throw new RangeError('more bytes than were reserved');
    this.addRow(kind, digest, Encoding.raw, bytes, bytes, this.flushed + window.start);
    this.buffer.fill(0, this.used, window.start);
    this.used = window.start + bytes;
    this.window = undefined;
  }

  /** Copies a payload into the pack. `length` is the logical one. While a promise is out, `payload` must stay as it is. */
  append(kind: ObjectKind, digest: Digest, encoding: number, length: number, payload: Uint8Array): void | Promise<void> {
    this.checkOpen();
    const start = payloadStart(this.used, encoding, payload.byteLength);
    this.addRow(kind, digest, encoding, length, payload.byteLength, this.flushed + start);
    this.window = undefined;
    if (start + payload.byteLength > this.buffer.byteLength) return this.appendInParts(start - this.used, payload);
    this.buffer.fill(0, this.used, start);
    this.buffer.set(payload, start);
    this.used = start + payload.byteLength;
  }

  /** Writes the footer, makes the pack durable and moves it into place; null when nothing was appended. After an error, `abort`. */
  async seal(): Promise<SealedPack | null> {
    this.checkOpen();
    if (this.table.count === 0) {
      this.state = 'sealed';
      return null;
    }
    const table = this.table.finish();
    await this.appendInParts(0, encodeFooter(this.id, this.payloadBytes, table, this.shelf.hasher));
    const sizeBytes = this.payloadBytes;
    await this.flush();
    await this.failing(async () => {
      await this.flight;
      await this.syncing;
      const file = this.openFile();
      file.syncSync();
      file.closeSync();
      this.shelf.publish(this.id);
    });
    this.state = 'sealed';
    return { id: this.id, sizeBytes, table };
  }

  /** Gives everything up: waits for the write in flight, then removes the file. Idempotent; nothing after `seal`. Never throws. */
  async abort(): Promise<void> {
    if (this.state !== 'open' && this.state !== 'failed') return;
    this.state = 'aborted';
    await this.flight?.catch(() => undefined);
    await this.syncing;
    if (this.file !== undefined) this.shelf.abandon(this.file);
  }

  private openWindow(start: number, length: number): Uint8Array {
    this.window = { start, length };
    return this.buffer.subarray(start, start + length);
  }

  private addRow(kind: ObjectKind, digest: Digest, encoding: number, length: number, storedLength: number, offset: number): void {
    assertStorable(encoding, length, storedLength);
    if (this.table.count === MAX_PACK_OBJECTS) throw new RangeError('a pack holds no more objects');
    this.table.add({ kind, digest, encoding, length, storedLength, offset });
  }

  /** Appends `gap` zeros, which always fit since a buffer is whole pages, then the bytes across as many buffers as it takes. */
  private async appendInParts(gap: number, bytes: Uint8Array): Promise<void> {
    this.buffer.fill(0, this.used, this.used + gap);
    this.used += gap;
    for (let done = 0; done < bytes.byteLength;) {
      if (this.used === this.buffer.byteLength) await this.flush();
      const part = bytes.subarray(done, done + this.buffer.byteLength - this.used);
      this.buffer.set(part, this.used);
      this.used += part.byteLength;
      done += part.byteLength;
    }
  }

  /** Sends the buffer off, and goes on in the other one once that is back. */
  private async flush(): Promise<void> {
    this.window = undefined;
    await this.failing(async () => {
      const file = this.openFile();
      if (this.flight !== undefined) {
        await this.flight;
        this.syncing ??= this.syncEarly(file);
      }
      this.flight = file.write(this.buffer.subarray(0, this.used), this.flushed);
      // Whoever waits for the flight next gets its error; until then it is no unhandled one.
      this.flight.catch(() => undefined);
    });
    [this.buffer, this.spare] = [this.spare, this.buffer];
    this.flushed += this.used;
    this.used = 0;
  }

  /** Left to itself the system would keep most of a pack in memory until the sync at the end, and the disk idle until then. */
  private async syncEarly(file: WritableFile): Promise<void> {
    await file.sync().catch(() => undefined);
    this.syncing = undefined;
  }

  private async failing(action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      this.state = 'failed';
      throw error;
    }
  }

  private openFile(): WritableFile {
    this.file ??= this.shelf.disk.create(this.shelf.incomingPath(this.id));
    return this.file;
  }

  private checkOpen(): void {
    if (this.state !== 'open') throw new Error(`this pack writer is ${this.state}`);
  }
}
