/** Distinct values that the noise is drawn from: as many as 16 random bits can choose among. */
const TABLE_SIZE = 65_536;

/** A stream of 32-bit words: Marsaglia's xorshift128, whose period of 2^128 - 1 lets no two tensors meet. */
class Random {
  private x: number;
  private y: number;
  private z: number;
  private w: number;

  /** Equal seeds give equal streams. */
  constructor(seed: string) {
    let hash = 0x811c9dc5;
    for (const character of seed) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193);
    const next = (): number => {
      hash = (hash + 0x9e3779b9) | 0;
      const mixed = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
      return Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35) | 1;
    };
    [this.x, this.y, this.z, this.w] = [next(), next(), next(), next()];
  }

  next(): number {
    const t = this.x ^ (this.x << 11);
    this.x = this.y;
    this.y = this.z;
    this.z = this.w;
    this.w = this.w ^ (this.w >>> 19) ^ t ^ (t >>> 8);
    return this.w;
  }
}

/** Bits of the bfloat16 nearest to `value`: the upper half of its float32, rounded. */
function bfloat16(value: number): number {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0] ?? 0;
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** Normal values of standard deviation 0.02, which is what trained weights look like; made by Box and Muller's method. */
function gaussianTable(): Uint16Array {
  const random = new Random('table');
  const uniform = (): number => ((random.next() >>> 0) + 0.5) / 2 ** 32;
  return Uint16Array.from({ length: TABLE_SIZE }, () =>
    bfloat16(0.02 * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())),
  );
}

let table: Uint16Array | undefined;

/** Fills `out` with bfloat16 weights. Equal seeds give equal weights; two values per random word, so a few hundred MB/s. */
export function fillGaussian(out: Uint16Array, seed: string): void {
  table ??= gaussianTable();
  const random = new Random(seed);
  for (let index = 0; index < out.length; index += 2) {
    const word = random.next();
    out[index] = table[word & 0xffff] ?? 0;
    out[index + 1] = table[word >>> 16] ?? 0;
  }
}

/** What a little more training does: half of the values move to a neighbouring bfloat16, up or down. */
export function train(weights: Uint16Array, seed: string): void {
  const random = new Random(`${seed} trained`);
  for (let index = 0; index < weights.length; index += 16) {
    let word = random.next();
    const end = Math.min(index + 16, weights.length);
    for (let at = index; at < end; at++, word >>>= 2) {
      const step = word & 3;
      if (step === 1) weights[at] = (weights[at] ?? 0) + 1;
      else if (step === 2) weights[at] = (weights[at] ?? 0) - 1;
    }
  }
}
