import { Encoding } from '../encoding/encoding.js';
import { isCairnError } from '../errors.js';
import type { Digest } from '../hash/digest.js';
import { ObjectKind } from '../hash/object-kind.js';
import type { Location } from '../index/records.js';
import { checkDigest, damagedObject, decodeObject } from '../objects/verified-object.js';
import type { WorkerEnvironment } from '../workers/environment.js';
import { OperationControl } from '../workers/operation-control.js';

/** Brings chunks from packs into memory, for a worker's task: the one way in which file data is read in bulk. */
export class ChunkFetcher {
  private readonly environment: WorkerEnvironment;
  private readonly verify: boolean;
  private readonly control: OperationControl;

  constructor(environment: WorkerEnvironment, task: { verify: boolean; control: SharedArrayBuffer }) {
    this.environment = environment;
    this.verify = task.verify;
    this.control = new OperationControl(task.control);
    environment.index.refresh();
  }

  /** Where a chunk lies; undefined when it is in no pack. */
  locate(digest: Digest): Location | undefined {
    return this.environment.index.locate(ObjectKind.chunk, digest);
  }

  /**
   * Puts the bytes [from, to) of a chunk into `target`. With verification the whole chunk is read and digested, however
   * little of it is wanted; without, exactly the bytes of a raw chunk are read.
   *
   * @throws DamageError, AbortedError
   */
  fetch(digest: Digest, length: number, location: Location, from: number, to: number, target: Uint8Array): void {
    this.control.check();
    try {
      this.fetchFrom(location, digest, length, from, to, target);
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
      // A collection may have moved the chunk since the index was last looked at.
      this.environment.index.refresh();
      const moved = this.locate(digest);
      if (moved === undefined || (moved.pack === location.pack && moved.offset === location.offset)) throw error;
      this.fetchFrom(moved, digest, length, from, to, target);
    }
    this.control.advance(to - from);
  }

  private fetchFrom(location: Location, digest: Digest, length: number, from: number, to: number, target: Uint8Array): void {
    const { pack, offset, encoding } = location;
    if (location.length !== length) throw damagedObject(ObjectKind.chunk, digest, `has ${location.length} bytes, not ${length}`);
    const whole = to - from === length;
    if (encoding === Encoding.raw && (whole || !this.verify)) {
      this.environment.packs.readSync(pack, offset + from, to - from, target);
      if (this.verify) this.check(target, digest);
      return;
    }
    const logical = whole ? target : this.environment.logical(length);
    if (encoding === Encoding.raw) this.environment.packs.readSync(pack, offset, length, logical);
    else this.decode(location, digest, logical);
    if (this.verify) this.check(logical, digest);
    if (!whole) target.set(logical.subarray(from, to));
  }

  private decode({ pack, offset, encoding, storedLength }: Location, digest: Digest, target: Uint8Array): void {
    const stored = this.environment.packs.readSync(pack, offset, storedLength, this.environment.stored(storedLength));
    decodeObject(this.environment.decoder, { kind: ObjectKind.chunk, digest }, encoding, stored, target);
  }

  private check(bytes: Uint8Array, digest: Digest): void {
    checkDigest(this.environment.hasher, { kind: ObjectKind.chunk, digest }, bytes);
  }
}
