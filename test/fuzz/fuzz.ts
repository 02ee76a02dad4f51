import { expect, test } from 'vitest';
import { isCairnError } from '../../packages/core/src/errors.js';
import { MalformedError } from '../../packages/core/src/util/bytes.js';
import { testSeed } from '../support/random.js';
import { Allocations } from './allocations.js';
import { Dice } from './dice.js';
import { type Material, mutated } from './mutate.js';
import { Watchdog } from './watchdog.js';
import { tell } from '../support/tell.js';

/** A parser, and what must be true of it whatever it is given. */
export interface Target extends Material {
  /** What it parses. */
  readonly name: string;
  /** How many of `ALL_SHARES` inputs are for it. */
  readonly share: number;
  /** Puts check values, and now and then lengths, right again, so that what lies behind them is reached. */
  reseal?(bytes: Buffer, dice: Dice): Buffer;
  /**
   * Parses, and checks the answer: the same when it is written and read again. Throws a typed error for what is no input, and anything
   * else for what must not be. Without dice the input is a sample.
   */
  check(bytes: Buffer, dice?: Dice): void | Promise<void>;
  /** Bytes that may be asked for: of each input byte so many, and so many more. */
  readonly memory: { readonly perByte: number; readonly fixed: number };
}

/** Of all targets together, about: cheap parsers of much structure have more than those that need files. */
const ALL_SHARES = 1400;
/** Inputs of a whole run: more with `CAIRN_SOAK_FUZZ`. */
const INPUTS = Number(process.env['CAIRN_SOAK_FUZZ'] ?? 56_000);
/** Tries one input of a failed run again; its seed is CAIRN_TEST_SEED. */
const ONLY = process.env['CAIRN_FUZZ_INPUT'];
/** What is left unsealed, so that checks of check values are tried too: one in so many. */
const UNSEALED = 8;
/** From so many inputs on, some are values and some are errors. */
const ENOUGH_FOR_BOTH = 2000;
const INPUTS_PER_TURN = 1000;
const LONGEST_MS = 24 * 3_600_000;

const allocations = new Allocations();

/** Has a parser try its share of the run's inputs: each is a value or a typed error, in bounded time and memory. */
export function fuzz(target: Target): void {
  const count = Math.ceil((INPUTS * target.share) / ALL_SHARES);
  test(
    `${target.name}: any bytes are a value that is written as it was read, or a typed error, in bounded time and memory`,
    async () => {
      const seed = testSeed(`fuzz ${target.name}`);
      const watchdog = new Watchdog(target.name, seed);
      installOnce();
      const start = performance.now();
      const tally = { values: 0, errors: 0 };
      const numbers = ONLY === undefined ? { from: 0, to: count } : { from: Number(ONLY), to: Number(ONLY) + 1 };
      try {
        for (const sample of target.samples) await target.check(Buffer.from(sample));
        for (let number = numbers.from; number < numbers.to; number++) {
          watchdog.watch(number);
          if (await tryInput(target, seed, number)) tally.values++;
          else tally.errors++;
          if (number % INPUTS_PER_TURN === 0) await new Promise(setImmediate);
        }
      } finally {
        await watchdog.stop();
      }
      const seconds = ((performance.now() - start) / 1000).toFixed(1);
      tell('fuzz', { inputs: numbers.to - numbers.from, ...tally });
      console.log(`fuzz ${target.name}: ${count} inputs, ${seconds} s`);
      // Inputs of one outcome only would reach little of the parser.
      if (count >= ENOUGH_FOR_BOTH && ONLY === undefined)
        for (const outcome of [tally.values, tally.errors]) expect(outcome).toBeGreaterThan(0);
    },
    LONGEST_MS,
  );
}

/** True for a value, false for a typed error. */
async function tryInput(target: Target, seed: number, number: number): Promise<boolean> {
  const dice = new Dice(seed, number);
  let bytes = mutated(dice, target);
  if (target.reseal !== undefined && !dice.oneIn(UNSEALED)) bytes = target.reseal(bytes, dice);
  const limit = target.memory.perByte * bytes.length + target.memory.fixed;
  const given = Buffer.from(bytes);
  allocations.reset();
  let isValue = true;
  try {
    const checked = target.check(bytes, dice);
    // Whoever else has a turn meanwhile asks for memory too.
    if (checked instanceof Promise) await checked;
  } catch (error) {
    if (!isTyped(error)) throw failure(target, seed, number, given, error);
    isValue = false;
  }
  if (allocations.total > limit)
    throw failure(target, seed, number, given, new Error(`${allocations.total} bytes were asked for, ${limit} are allowed`));
  return isValue;
}

function isTyped(error: unknown): boolean {
  return isCairnError(error) || error instanceof MalformedError;
}

function failure(target: Target, seed: number, number: number, bytes: Buffer, cause: unknown): Error {
  const told = cause instanceof Error ? (cause.stack ?? cause.message) : String(cause);
  return new Error(
    `${target.name}, CAIRN_TEST_SEED=${seed} CAIRN_FUZZ_INPUT=${number}, ${bytes.length} bytes ${bytes.toString('hex', 0, 2000)}: ${told}`,
    { cause },
  );
}

let installed = false;
function installOnce(): void {
  if (!installed) allocations.install();
  installed = true;
}
