/**
 * How many tasks wait for a worker, in memory that the workers see: a worker that is kept waiting by its own input
 * (a slow stream) gives its place up when somebody else could use it. Else a stream that reads from the same store
 * would wait for ever on a pool of one.
 */
export class Pressure {
  readonly memory: SharedArrayBuffer;
  private readonly count: Int32Array;

  constructor(memory = new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)) {
    this.memory = memory;
    this.count = new Int32Array(memory);
  }

  set waiting(tasks: number) {
    Atomics.store(this.count, 0, tasks);
  }

  get waiting(): number {
    return Atomics.load(this.count, 0);
  }
}
