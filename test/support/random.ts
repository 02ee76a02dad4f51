/** Seed of the tests that choose moments and samples by chance: `CAIRN_TEST_SEED`, or a new one each day's run. Printed, so that a failure can be replayed. */
export function testSeed(test: string): number {
  const given = process.env['CAIRN_TEST_SEED'];
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given);
  console.log(`${test}: CAIRN_TEST_SEED=${seed}`);
  return seed;
}

/** Whole numbers from 0 to below `limit`, by xorshift32: the same for the same seed. */
export function randomFrom(seed: number): (limit: number) => number {
  let state = (seed >>> 0) + 1;
  return (limit) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    state >>>= 0;
    return state % limit;
  };
}

/** Bytes without structure, the same for the same seed. */
export function noise(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(Math.ceil(length / 4));
  let state = Math.imul(seed + 1, 0x9e3779b1) >>> 0 || 1;
  for (let i = 0; i < words.length; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    words[i] = state;
  }
  return new Uint8Array(words.buffer, 0, length);
}
