/** Bounds how many pieces of work are under way at once; those who wait are served in order. */
export class Lanes {
  private free: number;
  private readonly waiting: (() => void)[] = [];
  private readonly total: number;

  constructor(count: number) {
    this.free = count;
    this.total = count;
  }

  get busy(): number {
    return this.total - this.free;
  }

  async acquire(): Promise<void> {
    if (this.free > 0) this.free--;
    else await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  release(): void {
    const next = this.waiting.shift();
    if (next === undefined) this.free++;
    else next();
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    await this.acquire();
    try {
      return await work();
    } finally {
      this.release();
    }
  }
}
