import { DIGEST_BYTES } from '../hash/digest.js';

/** Slots of a bucket: a digest is looked for, and put, in one bucket only. */
const WAYS = 8;
/** 65 536 slots: eight times what two workers have in flight at the target chunk size. */
const BUCKETS = 8192;
const DIGEST_WORDS = DIGEST_BYTES / 4;
const SLOT_WORDS = 1 + DIGEST_WORDS;
const BUCKET_WORDS = 1 + WAYS * SLOT_WORDS;
/** Words before the buckets: the count of publications. */
const HEADER_WORDS = 1;
/** A bucket is locked for well under a microsecond, unless its thread loses its core meanwhile: then the others sleep a little. */
const LOCK_SPINS = 1000;
const LOCK_SLEEP_MS = 1;
/** A thread that died inside must not stop the others. */
const LOCK_SLEEPS = 50;

/** What `claim` returns when the bucket is full: the chunk is stored without a claim, at worst twice. */
export const UNCLAIMED = 0;

/**
 * Which unit is storing which new chunk, in memory shared by all workers of an engine, so that equal new chunks are stored
 * once. All 256 bits are compared. A claim lasts until its unit is published or has failed; who finds a chunk claimed
 * *borrows* it, and must not be published before the other is. Nobody waits in here, so nothing can deadlock.
 */
export class ClaimTable {
  private made: Int32Array | undefined;

  /** @param memory another thread's; without it the table's own is made when it is first used: a store that is only read needs none. */
  constructor(memory?: SharedArrayBuffer) {
    if (memory !== undefined) this.made = new Int32Array(memory);
  }

  get memory(): SharedArrayBuffer {
    return this.words.buffer as SharedArrayBuffer;
  }

  private get words(): Int32Array {
    return (this.made ??= new Int32Array(new SharedArrayBuffer(4 * (HEADER_WORDS + BUCKETS * BUCKET_WORDS))));
  }

  /**
   * Counts up whenever a unit's chunks have become visible in the index, before its claims go. A worker that wins a claim
   * looks into the index again if this has moved since it last did: the chunk may just have been published.
   */
  get publications(): number {
    return Atomics.load(this.words, 0);
  }

  /** The unit that now holds the chunk: `unit` itself, another one, or `UNCLAIMED`. */
  claim(digest: Uint8Array, unit: number): number {
    const wanted = digestWords(digest);
    const bucket = this.bucketOf(wanted);
    if (!this.lock(bucket)) return UNCLAIMED;
    try {
      let empty = 0;
      for (let slot = bucket + 1; slot < bucket + BUCKET_WORDS; slot += SLOT_WORDS) {
        const owner = Atomics.load(this.words, slot);
        if (owner === 0) empty ||= slot;
        else if (this.holds(slot, wanted)) return owner;
      }
      if (empty === 0) return UNCLAIMED;
      this.words.set(wanted, empty + 1);
      Atomics.store(this.words, empty, unit);
      return unit;
    } finally {
      Atomics.store(this.words, bucket, 0);
    }
  }

  /** Gives up one claim of a unit. */
  withdraw(digest: Uint8Array, unit: number): void {
    const wanted = digestWords(digest);
    const bucket = this.bucketOf(wanted);
    for (let slot = bucket + 1; slot < bucket + BUCKET_WORDS; slot += SLOT_WORDS) {
      if (Atomics.load(this.words, slot) === unit && this.holds(slot, wanted)) Atomics.store(this.words, slot, 0);
    }
  }

  /** Ends all claims of a unit. `published`: its chunks are in the index. */
  release(unit: number, published: boolean): void {
    if (published) Atomics.add(this.words, 0, 1);
    for (let bucket = HEADER_WORDS; bucket < this.words.length; bucket += BUCKET_WORDS) {
      for (let slot = bucket + 1; slot < bucket + BUCKET_WORDS; slot += SLOT_WORDS) {
        if (this.words[slot] === unit) Atomics.store(this.words, slot, 0);
      }
    }
  }

  private bucketOf(digest: Int32Array): number {
    return HEADER_WORDS + (digest[0]! & (BUCKETS - 1)) * BUCKET_WORDS;
  }

  private holds(slot: number, digest: Int32Array): boolean {
    for (let i = 0; i < DIGEST_WORDS; i++) if (this.words[slot + 1 + i] !== digest[i]) return false;
    return true;
  }

  private lock(bucket: number): boolean {
    for (let sleeps = 0; sleeps <= LOCK_SLEEPS; sleeps++) {
      for (let i = 0; i < LOCK_SPINS; i++) if (Atomics.compareExchange(this.words, bucket, 0, 1) === 0) return true;
      Atomics.wait(this.words, bucket, 1, LOCK_SLEEP_MS);
    }
    return false;
  }
}

const scratch = new Int32Array(DIGEST_WORDS);
const scratchBytes = new Uint8Array(scratch.buffer);

/** Valid until the next call. */
function digestWords(digest: Uint8Array): Int32Array {
  scratchBytes.set(digest);
  return scratch;
}
