import type { Series, Unit } from '../rows/row.js';

/** One side of a comparison. Every step but `run` is untimed. */
export interface Contestant {
  readonly name: string;
  /** What a reader would type, with SOURCE, REPO and TARGET for the paths; left out for calls inside a process. */
  readonly command?: string | undefined;
  /** Cairn itself, as opposed to a tool it is compared with. */
  readonly ours?: boolean;
  /** Puts everything back to the state before `run`. */
  prepare?(round: number): Promise<void>;
  /** The sample, in the unit of the series. The contestant takes the time itself, nearest to the work. */
  run(round: number): Promise<number>;
  /** Looks at what `run` left, and throws when it is wrong: a fast wrong answer is no measurement. */
  check?(round: number): Promise<void>;
}

export interface SeriesPlan {
  readonly title: string;
  readonly unit: Unit;
  readonly rounds: number;
  /** Bytes that each run moves, for the rate column. */
  readonly bytes?: number;
  readonly log: (line: string) => void;
}

/**
 * Runs all contestants in every round, each round starting with another one, so that a drift of the machine, or what one leaves behind for
 * the next, falls on all alike.
 */
export async function interleave(plan: SeriesPlan, contestants: readonly Contestant[]): Promise<Series> {
  const samples = contestants.map((): number[] => []);
  for (let round = 0; round < plan.rounds; round++) {
    for (let turn = 0; turn < contestants.length; turn++) {
      const index = (turn + round) % contestants.length;
      const contestant = contestants[index] as Contestant;
      await contestant.prepare?.(round);
      const value = await contestant.run(round);
      await contestant.check?.(round);
      (samples[index] as number[]).push(value);
      plan.log(`  round ${round + 1}/${plan.rounds}  ${contestant.name}: ${value.toFixed(value < 10 ? 2 : 0)} ${plan.unit}`);
    }
  }
  return {
    title: plan.title,
    unit: plan.unit,
    ...(plan.bytes === undefined ? {} : { bytes: plan.bytes }),
    measurements: contestants.map(({ name, command, ours }, index) => ({
      name,
      ours: ours === true,
      samples: samples[index] as number[],
      ...(command === undefined ? {} : { command }),
    })),
  };
}
