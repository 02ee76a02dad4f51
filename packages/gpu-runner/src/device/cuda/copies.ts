import { EVENT_DISABLE_TIMING, RESULT } from './abi.js';
import type { Driver } from './driver.js';

interface Copy {
  event: bigint;
  done: () => void;
  failed: (error: unknown) => void;
}

/** How long the thread naps between two looks at events, in milliseconds: a slot of 8 MiB takes longer than this on any bus. */
const NAP_MS = 0.1;

/** Asynchronous work on streams. Work on one stream ends in the order in which it began; events tell when, and are asked in turn. */
export class Copies {
  private readonly driver: Driver;
  private readonly running = new Map<bigint, Copy[]>();
  private readonly idleEvents: bigint[] = [];
  private readonly nap = new Int32Array(new SharedArrayBuffer(4));
  private looking = false;

  constructor(driver: Driver) {
    this.driver = driver;
  }

  /** Runs `enqueue`, which gives a stream work. Resolves when the device has done it. When it rejects, the stream is idle. */
  run(stream: bigint, enqueue: () => void): Promise<void> {
    return new Promise((done, failed) => {
      try {
        const event = this.idleEvents.pop() ?? this.driver.handle('cuEventCreate', EVENT_DISABLE_TIMING);
        try {
          enqueue();
          this.driver.call('cuEventRecord', event, stream);
        } catch (error) {
          this.idleEvents.push(event);
          throw error;
        }
        this.copiesOf(stream).push({ event, done, failed });
        this.look();
      } catch (error) {
        // Part of it may be under way, and memory that is in use must not be given to others.
        this.settle(stream);
        failed(error);
      }
    });
  }

  /** Waits for a stream. Its own error is that of a piece of work, which hears it there. */
  settle(stream: bigint): void {
    this.driver.result('cuStreamSynchronize', stream);
  }

  /** No work may be under way. @throws DriverFailure; another call goes on where this one stopped */
  destroyEvents(): void {
    for (let event = this.idleEvents.at(-1); event !== undefined; event = this.idleEvents.at(-1)) {
      this.driver.call('cuEventDestroy_v2', event);
      this.idleEvents.pop();
    }
  }

  /** Asks the events until all are reached. Messages are heard between two rounds. */
  private look(): void {
    if (this.looking) return;
    this.looking = true;
    setImmediate(() => {
      this.looking = false;
      for (const [stream, copies] of this.running) this.collect(stream, copies);
      if ([...this.running.values()].every((copies) => copies.length === 0)) return;
      Atomics.wait(this.nap, 0, 0, NAP_MS);
      this.look();
    });
  }

  private collect(stream: bigint, copies: Copy[]): void {
    for (let copy = copies[0]; copy !== undefined; copy = copies[0]) {
      const code = this.driver.result('cuEventQuery', copy.event);
      if (code === RESULT.notReady) return;
      copies.shift();
      this.idleEvents.push(copy.event);
      if (code === RESULT.success) copy.done();
      else {
        this.settle(stream);
        copy.failed(this.driver.error('cuEventQuery', code));
      }
    }
  }

  private copiesOf(stream: bigint): Copy[] {
    let copies = this.running.get(stream);
    if (copies === undefined) this.running.set(stream, (copies = []));
    return copies;
  }
}
