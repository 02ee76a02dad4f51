/** For how long a thread works before others have a turn of the event loop. */
const TURN_MS = 8;
/** Steps between two looks at the clock, which take longer than many a step. */
const STEPS_PER_LOOK = 8;

/** Tells work that has many steps when to let the event loop have a turn: a program that embeds a store has to answer meanwhile. */
export class Turns {
  private began = performance.now();
  private steps = 0;

  /** Asked after each step, or some: whether it is time for `next`. */
  isOver(steps = 1): boolean {
    this.steps += steps;
    if (this.steps < STEPS_PER_LOOK) return false;
    this.steps = 0;
    return performance.now() - this.began >= TURN_MS;
  }

  /** Lets everybody else have a turn. */
  async next(): Promise<void> {
    await new Promise(setImmediate);
    this.began = performance.now();
  }
}
