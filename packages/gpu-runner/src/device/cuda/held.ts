/**
 * What has been taken from the driver, and how each is given back, last first. A step that fails stays, so that another try can end
 * what is left: memory is not lost to one call that failed.
 */
export class Held {
  private readonly steps: (() => void)[] = [];

  add(giveBack: () => void): void {
    this.steps.push(giveBack);
  }

  /** Gives back as much as can be, in order. @throws what the first step that failed threw */
  release(): void {
    for (let step = this.steps.at(-1); step !== undefined; step = this.steps.at(-1)) {
      step();
      this.steps.pop();
    }
  }
}
