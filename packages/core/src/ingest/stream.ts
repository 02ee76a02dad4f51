import { MessageChannel, type MessagePort } from 'node:worker_threads';
import { detectLayout, type Region } from '../chunking/layout.js';
import { chunkEntry, TreeBuilder } from '../content/build.js';
import type { ContentRef } from '../content/content.js';
import type { NodeSink } from '../objects/node-store.js';
import { chunkRows } from '../workers/chunk-rows.js';
import { untilFailed } from '../workers/until-failed.js';
import type { Span, StoreStreamResult } from './messages.js';
import { Ring } from './ring.js';
import type { IngestOperation, UnitRunner } from './unit-runner.js';

type Input = AsyncGenerator<Uint8Array, undefined>;

/** Stores a stream by as many units as it takes, one after another; a worker is busy only while there is data. */
export async function storeStream(
  operation: IngestOperation,
  runner: UnitRunner,
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  sink: NodeSink,
): Promise<ContentRef> {
  const input = untilFailed(operation, chunks);
  const run = new StreamRun(operation, runner, sink);
  const stop = operation.onFail(() => run.fail());
  try {
    const { regions, prefix, ended } = await recognise(input);
    run.feed(prefix, ended ? undefined : input).catch((error: unknown) => operation.fail(error));
    return await run.store(regions);
  } catch (error) {
    operation.fail(error);
    throw error;
  } finally {
    run.fail();
    await run.idle();
    stop();
  }
}

/** Reads as much of the input as tells how it is cut. */
async function recognise(input: Input): Promise<{ regions: readonly Region[]; prefix: Uint8Array[]; ended: boolean }> {
  const prefix: Uint8Array[] = [];
  let bytes = 0;
  let need = 0;
  for (;;) {
    const next = await input.next();
    const ended = next.done === true;
    if (!ended) {
      prefix.push(next.value);
      bytes += next.value.byteLength;
    }
    if (bytes >= need || ended) {
      const found = detectLayout(prefix.length === 1 ? prefix[0]! : Buffer.concat(prefix), ended);
      if ('layout' in found) return { regions: found.layout.regions, prefix, ended };
      need = found.need;
    }
    // Whoever makes the chunks may use their memory again for the next.
    prefix.push(prefix.pop()!.slice());
  }
}

/** A stream under way: the feeding side and the storing side of one ring, in step. */
class StreamRun {
  private readonly operation: IngestOperation;
  private readonly runner: UnitRunner;
  private readonly ring = new Ring();
  private readonly tree: TreeBuilder;
  /** Wakes whichever side waits in `changed`. */
  private waiting: (() => void)[] = [];
  /** Main thread's end of the channel to the unit that runs. */
  private port: MessagePort | undefined;
  private unit: Promise<unknown> = Promise.resolve();
  private failed = false;

  constructor(operation: IngestOperation, runner: UnitRunner, sink: NodeSink) {
    this.operation = operation;
    this.runner = runner;
    this.tree = new TreeBuilder(sink);
  }

  /** Fills the ring until the input ends. */
  async feed(prefix: Uint8Array[], rest: Input | undefined): Promise<void> {
    for (const data of prefix) await this.write(data);
    for (let next; rest !== undefined && (next = await rest.next()).done !== true;) await this.write(next.value);
    this.ring.end();
    this.written();
  }

  /** Stores what comes, unit after unit, until the end. */
  async store(regions: readonly Region[]): Promise<ContentRef> {
    for (;;) {
      await this.worthwhile();
      const { rows, ended } = await this.runUnit(spansFrom(regions, this.ring.released));
      for (const { digest, length } of chunkRows(rows)) this.tree.push(chunkEntry(digest, length));
      this.operation.tally.logicalBytes += sum(rows);
      if (ended) break;
    }
    this.operation.tally.files++;
    this.operation.report();
    return this.tree.finish();
  }

  /** Calls both sides off. */
  fail(): void {
    this.failed = true;
    this.ring.break();
    this.written();
    this.wake();
  }

  /** Settles when no worker uses the ring any more. */
  async idle(): Promise<void> {
    await this.unit.catch(() => undefined);
  }

  private async write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.byteLength;) {
      this.check();
      const count = this.ring.write(data.subarray(at));
      at += count;
      if (count > 0) this.written();
      else await this.space();
    }
  }

  /** Waits until the unit has released something. */
  private async space(): Promise<void> {
    const { released } = this.ring;
    this.ring.announceWait('writer');
    if (this.ring.released === released) await this.changed();
  }

  /** Waits until a unit has enough to do: a worker should not be taken for a trickle. */
  private async worthwhile(): Promise<void> {
    while (!this.ring.ended && this.ring.written - this.ring.released < this.ring.capacity / 2) {
      this.check();
      await this.changed();
    }
    this.check();
  }

  private async runUnit(spans: Span[]): Promise<StoreStreamResult> {
    const { port1, port2 } = new MessageChannel();
    port1.on('message', () => this.wake());
    port1.unref();
    this.port = port1;
    this.ring.yieldWanted = false;
    const order = { type: 'store-stream', ring: this.ring.memory, port: port2, spans } as const;
    const unit = this.runner.run<StoreStreamResult>(this.operation, order, [], {
      transfer: [port2],
      hurry: () => (this.ring.yieldWanted = true),
    });
    this.unit = unit;
    try {
      return await unit;
    } finally {
      this.port = undefined;
      port1.close();
      this.wake();
    }
  }

  /** To be called when there is more in the ring, or no more to come. */
  private written(): void {
    if (this.ring.takeWait('reader')) this.port?.postMessage(null);
    this.wake();
  }

  private changed(): Promise<void> {
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  private wake(): void {
    for (const resume of this.waiting.splice(0)) resume();
  }

  private check(): void {
    this.operation.check();
    if (this.failed) throw new Error('the stream was called off');
  }
}

/** What is left of a layout from a chunk's start on. */
function spansFrom(regions: readonly Region[], position: number): Span[] {
  return regions
    .filter((region) => region.end > position)
    .map(({ start, end, rule, float }) => {
      const span = { start: Math.max(start, position), end };
      return rule === 'blocks' ? { rule, ...span, float: float === true } : { rule, ...span };
    });
}

function sum(rows: Uint8Array): number {
  let bytes = 0;
  for (const { length } of chunkRows(rows)) bytes += length;
  return bytes;
}
