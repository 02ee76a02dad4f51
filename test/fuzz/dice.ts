/** Choices of one fuzz input: all of them follow from a seed and the input's number, so that each input can be made again alone. */
export class Dice {
  private state: number;

  constructor(seed: number, input: number) {
    this.state = stirred(Math.imul(seed, 0x9e3779b1) ^ stirred(input + 1)) | 1;
  }

  /** 0 to below `limit`, which is 2^32 at most. */
  below(limit: number): number {
    // xorshift32 (Marsaglia).
    this.state ^= this.state << 13;
    this.state ^= this.state >>> 17;
    this.state ^= this.state << 5;
    return (this.state >>> 0) % limit;
  }

  /** True once in `times`. */
  oneIn(times: number): boolean {
    return this.below(times) === 0;
  }

  pick<T>(choices: ArrayLike<T>): T {
    return choices[this.below(choices.length)]!;
  }

  bytes(length: number): Buffer {
    const bytes = Buffer.alloc(length);
    for (let i = 0; i < length; i++) bytes[i] = this.below(256);
    return bytes;
  }
}

/** The finalizer of MurmurHash3: neighbouring numbers come far apart. */
function stirred(value: number): number {
  let hash = value;
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
