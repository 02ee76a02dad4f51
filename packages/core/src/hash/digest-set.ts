const MAX_LOAD = 0.7;
const MIN_SLOTS = 1 << 12;

/**
 * A set of digests, or of what they begin with, in memory that threads can share. As many bytes as it has words of each are
 * compared: with two of them, millions of chunks fit, and one in 2^64 is taken for another.
 */
export class DigestSet {
  readonly words: number;
  private slots: Uint32Array;
  /** Number of members, in memory of its own. */
  private readonly count: Uint32Array;
  private mask: number;

  /** A set with room for so many members, which grows, or the one of another thread, to look into. */
  constructor(words: number, from: number | SharedDigestSet = 0) {
    this.words = words;
    const slots = typeof from === 'number' ? new Uint32Array(sharedWords(slotsFor(from) * words)) : new Uint32Array(from.slots);
    this.slots = slots;
    this.count = typeof from === 'number' ? new Uint32Array(sharedWords(1)) : new Uint32Array(from.count);
    this.mask = slots.length / words - 1;
  }

  get size(): number {
    return this.count[0] ?? 0;
  }

  /** For the constructor in another thread, while this one adds nothing. */
  get shared(): SharedDigestSet {
    return { slots: this.slots.buffer as SharedArrayBuffer, count: this.count.buffer as SharedArrayBuffer };
  }

  has(bytes: Uint8Array, offset = 0): boolean {
    return this.slots[this.find(bytes, offset)] !== 0;
  }

  /** True when it was not there. */
  add(bytes: Uint8Array, offset = 0): boolean {
    const at = this.find(bytes, offset);
    if (this.slots[at] !== 0) return false;
    if (this.size >= MAX_LOAD * (this.mask + 1)) {
      this.grow(2 * (this.mask + 1));
      return this.add(bytes, offset);
    }
    for (let word = 0; word < this.words; word++) this.slots[at + word] = wordAt(bytes, offset, word);
    this.count[0] = this.size + 1;
    return true;
  }

  /** Where it is, or would go. */
  private find(bytes: Uint8Array, offset: number): number {
    const { words, slots, mask } = this;
    for (let slot = wordAt(bytes, offset, 0) & mask; ; slot = (slot + 1) & mask) {
      const at = slot * words;
      if (slots[at] === 0) return at;
      let word = 0;
      while (word < words && slots[at + word] === wordAt(bytes, offset, word)) word++;
      if (word === words) return at;
    }
  }

  private grow(slots: number): void {
    const old = this.slots;
    this.slots = new Uint32Array(sharedWords(slots * this.words));
    this.mask = slots - 1;
    for (let at = 0; at < old.length; at += this.words) {
      const first = old[at] ?? 0;
      if (first === 0) continue;
      let slot = first & this.mask;
      while (this.slots[slot * this.words] !== 0) slot = (slot + 1) & this.mask;
      this.slots.set(old.subarray(at, at + this.words), slot * this.words);
    }
  }
}

export interface SharedDigestSet {
  slots: SharedArrayBuffer;
  count: SharedArrayBuffer;
}

/** The first word is never 0, which is what a free slot begins with. */
function wordAt(bytes: Uint8Array, offset: number, word: number): number {
  const at = offset + 4 * word;
  const value = ((bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16) | ((bytes[at + 3] ?? 0) << 24)) >>> 0;
  return word === 0 && value === 0 ? 1 : value;
}

function slotsFor(members: number): number {
  let slots = MIN_SLOTS;
  while (members > MAX_LOAD * slots) slots *= 2;
  return slots;
}

function sharedWords(count: number): SharedArrayBuffer {
  return new SharedArrayBuffer(count * 4);
}
