import type { Digest } from '../hash/digest.js';
import type { ObjectKind } from '../hash/object-kind.js';
import { assertStorable, encodeFooter, MAX_PACK_OBJECTS, payloadStart, type SealedPack } from './footer.js';
import { TableBuilder } from './object-table.js';
import { newPackId, type PackId } from './pack-id.js';
import type { PackShelf } from './pack-shelf.js';

/** An object on its way into a pack. */
export interface PackInput {
  kind: ObjectKind;
  digest: Digest;
  encoding: number;
  /** Logical bytes. */
  length: number;
  /** As stored. */
  payload: Uint8Array;
}

const MAX_BUFFER_BYTES = 1 << 20;

/**
 * Writes, syncs and places a pack whose objects are in memory anyway, through the page cache and on this thread:
 * for commits and small changes. The bytes are those that `PackWriter` makes of the same objects by `append`.
 *
 * @param id for tests that pin the bytes.
 * @throws RangeError without objects: there is no empty pack.
 */
export function writePackSync(shelf: PackShelf, objects: Iterable<PackInput>, id: PackId = newPackId()): SealedPack {
  const inputs = [...objects];
  if (inputs.length === 0 || inputs.length > MAX_PACK_OBJECTS) throw new RangeError(`a pack of ${inputs.length} objects`);
  const builder = new TableBuilder();
  let end = 0;
  for (const { kind, digest, encoding, length, payload } of inputs) {
    const storedLength = payload.byteLength;
    assertStorable(encoding, length, storedLength);
    const offset = payloadStart(end, encoding, storedLength);
    builder.add({ kind, digest, encoding, length, storedLength, offset });
    end = offset + storedLength;
  }
  const table = builder.finish();
  const footer = encodeFooter(id, end, table, shelf.hasher);
  const sizeBytes = end + footer.byteLength;

  const file = shelf.disk.create(shelf.incomingPath(id));
  try {
    const sink = new Collector(Math.min(sizeBytes, MAX_BUFFER_BYTES), (bytes, position) => file.writeSync(bytes, position));
    for (const { encoding, payload } of inputs) sink.put(payload, payloadStart(sink.end, encoding, payload.byteLength));
    sink.put(footer, sink.end);
    sink.flush();
    file.syncSync();
    file.closeSync();
    shelf.publish(id);
  } catch (error) {
    shelf.abandon(file);
    throw error;
  }
  return { id, sizeBytes, table };
}

/** Gathers small payloads into few writes; gaps are zeros. */
class Collector {
  private readonly buffer: Uint8Array;
  private readonly write: (bytes: Uint8Array, position: number) => void;
  private flushed = 0;
  private used = 0;

  constructor(bytes: number, write: (bytes: Uint8Array, position: number) => void) {
    this.buffer = new Uint8Array(bytes);
    this.write = write;
  }

  get end(): number {
    return this.flushed + this.used;
  }

  put(bytes: Uint8Array, position: number): void {
    this.copy(ZEROS.subarray(0, position - this.end));
    this.copy(bytes);
  }

  flush(): void {
    this.write(this.buffer.subarray(0, this.used), this.flushed);
    this.flushed += this.used;
    this.used = 0;
  }

  private copy(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.byteLength;) {
      if (this.used === this.buffer.byteLength) this.flush();
      const part = bytes.subarray(done, done + this.buffer.byteLength - this.used);
      this.buffer.set(part, this.used);
      this.used += part.byteLength;
      done += part.byteLength;
    }
  }
}

/** As long as the longest gap. */
const ZEROS = new Uint8Array(4096);
