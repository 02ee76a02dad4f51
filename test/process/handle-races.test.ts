import { openTemporaryStore, type Store, type Volume } from '@cairn/core';
import fc from 'fast-check';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { codeOf, failureOf } from '../support/failures.js';
import { tempDir } from '../support/temp-dir.js';
import { tell } from '../support/tell.js';

/** A long run sets more. */
const RUNS = Number(process.env['CAIRN_TEST_RACES'] ?? 60);
const HANDLES = 2;

const handle = fc.nat(HANDLES - 1);
/** What is begun, in whatever order the scheduler chooses, while the others are under way. */
const call = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant('write' as const), h: handle }) },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('commit' as const), h: handle, abort: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('reload' as const), h: handle }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('batch' as const), h: handle, fails: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('view' as const), h: handle }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('stream' as const), h: handle }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('prune' as const), h: handle }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('collect' as const), h: handle }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), h: handle }) },
);
type Call = typeof call extends fc.Arbitrary<infer C> ? C : never;

class Interrupted extends Error {}
class Refused extends Error {}

/** Two handles of one volume and calls that are all under way at once; where a call waits for its caller, the scheduler says who is next. */
class Race {
  readonly counts = { calls: 0, aborted: 0, closed: 0, commits: 0, pruned: 0 };
  private readonly store: Store;
  private readonly name: string;
  private readonly scheduler: fc.Scheduler;
  private readonly handles: Volume[] = [];
  private readonly closing = new Set<number>();
  /** Contents by path, of every write that ended well. */
  private readonly written = new Map<string, { h: number; text: string }>();
  /** Messages of what must be in the history, and of what must not. */
  private readonly made = new Set<string>();
  private readonly unmade = new Set<string>();
  private readonly pruned = new Set<string>();

  constructor(store: Store, name: string, scheduler: fc.Scheduler) {
    this.store = store;
    this.name = name;
    this.scheduler = scheduler;
  }

  async run(calls: readonly Call[]): Promise<void> {
    const first = await this.store.volumes.fromName(this.name, { createIfMissing: true });
    await first.batchUpload(async (batch) => {
      for (const side of ['left', 'right']) await batch.putFile({ data: 'first' }, `pair/${side}`);
    });
    // So that there is something to prune from the beginning.
    await first.writeFile('more', 'more');
    await first.commit();
    await first.close();
    for (let h = 0; h < HANDLES; h++) this.handles.push(await this.store.volumes.fromName(this.name));
    const started = calls.map((one, i) => this.turn(`start ${i}: ${one.do} ${one.h}`).then(() => this.settled(one, i)));
    await this.scheduler.waitFor(Promise.all(started));
    await this.check();
  }

  private turn(label: string): Promise<void> {
    return this.scheduler.schedule(Promise.resolve(), label);
  }

  /** Carries a call out; it may fail only for a reason that it was given. */
  private async settled(one: Call, i: number): Promise<void> {
    this.counts.calls++;
    try {
      await this[one.do](this.handles[one.h]!, i, one as never);
    } catch (error) {
      if (error instanceof Interrupted) this.counts.aborted++;
      else if (codeOf(error) === 'CAIRN_CLOSED' && this.closing.has(one.h)) this.counts.closed++;
      else if (!(error instanceof Refused)) throw error;
    }
  }

  private async write(volume: Volume, i: number, { h }: { h: number }): Promise<void> {
    const text = `text of call ${i}, `.repeat(1000);
    await volume.writeFile(`own/${i}`, this.inTurns(text, i));
    this.written.set(`own/${i}`, { h, text });
  }

  private async *inTurns(text: string, i: number): AsyncGenerator<Uint8Array> {
    for (let part = 0; part < 3; part++) {
      await this.turn(`part ${part} of ${i}`);
      yield Buffer.from(text.slice((part * text.length) / 3, ((part + 1) * text.length) / 3));
    }
  }

  private async commit(volume: Volume, i: number, { abort }: { abort: boolean }): Promise<void> {
    const message = `commit ${i}`;
    const controller = new AbortController();
    if (abort) void this.turn(`abort ${i}`).then(() => controller.abort(new Interrupted()));
    await this.expectMade(message, volume.commit({ message, signal: controller.signal }));
  }

  /** A batch puts the same into two files: nobody may ever see them differ. */
  private async batch(volume: Volume, i: number, { fails }: { fails: boolean }): Promise<void> {
    const edit: Parameters<Volume['batchUpload']>[0] = async (batch) => {
      await batch.putFile({ data: `pair ${i}` }, 'pair/left');
      await this.turn(`batch ${i}`);
      if (fails) throw new Refused();
      await batch.putFile({ data: `pair ${i}` }, 'pair/right');
    };
    await this.expectMade(`batch ${i}`, volume.batchUpload(edit, { message: `batch ${i}`, force: true }));
  }

  private async expectMade(message: string, call: Promise<{ changed: boolean; snapshot: { message: string } }>): Promise<void> {
    try {
      const { changed, snapshot } = await call;
      if (changed) this.made.add(message);
      if (changed) expect(snapshot.message).toBe(message);
      this.counts.commits += changed ? 1 : 0;
    } catch (error) {
      this.unmade.add(message);
      throw error;
    }
  }

  private async reload(volume: Volume): Promise<void> {
    await volume.reload();
  }

  private async view(volume: Volume, i: number): Promise<void> {
    const view = await volume.snapshot();
    const left = await view.readFile('pair/left', 'utf8');
    await this.turn(`view ${i}`);
    expect(await view.readFile('pair/right', 'utf8')).toBe(left);
    expect(await view.readFile('pair/left', 'utf8')).toBe(left);
    await view.close();
  }

  /** An open stream stays on what it began on. */
  private async stream(volume: Volume, i: number): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of volume.createReadStream('pair/left')) {
      await this.turn(`stream ${i}`);
      parts.push(part as Buffer);
    }
    expect(Buffer.concat(parts).toString()).toMatch(/^(first|pair \d+)$/);
  }

  /** Whatever has a version open goes on with it. */
  private async prune(volume: Volume): Promise<void> {
    const { removed } = await volume.prune({ keepLast: 1 });
    for (const { message } of removed) this.pruned.add(message);
    this.counts.pruned += removed.length;
  }

  private async collect(): Promise<void> {
    await this.store.gc();
  }

  private async close(volume: Volume, _i: number, { h }: { h: number }): Promise<void> {
    this.closing.add(h);
    await volume.close();
  }

  private async check(): Promise<void> {
    for (const [h, volume] of this.handles.entries()) if (!this.closing.has(h)) await volume.commit();
    const volume = await this.store.volumes.fromName(this.name);
    const messages: string[] = [];
    for await (const { id, message } of volume.history()) {
      messages.push(message);
      const snapshot = await volume.snapshot(id);
      expect(await snapshot.readFile('pair/right', 'utf8'), message).toBe(await snapshot.readFile('pair/left', 'utf8'));
      await snapshot.close();
    }
    for (const message of this.made)
      expect(messages.filter((found) => found === message)).toEqual(this.pruned.has(message) ? [] : [message]);
    for (const message of this.unmade) expect(messages).not.toContain(message);
    for (const [path, { h, text }] of this.written) if (!this.closing.has(h)) expect(await volume.readFile(path, 'utf8'), path).toBe(text);
    for (const one of [...this.handles, volume]) await one.close();
  }
}

/** Of the calls that were made; all ended as they had to. */
async function races(store: Store, runs: number): Promise<Race['counts']> {
  const total = { calls: 0, aborted: 0, closed: 0, commits: 0, pruned: 0 };
  let number = 0;
  await fc.assert(
    fc.asyncProperty(fc.scheduler(), fc.array(call, { minLength: 4, maxLength: 14 }), async (scheduler, calls) => {
      const race = new Race(store, `v${number++}`, scheduler);
      await race.run(calls);
      for (const [name, count] of Object.entries(race.counts)) total[name as keyof typeof total] += count;
    }),
    { numRuns: runs, endOnFailure: true },
  );
  expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
  return total;
}

test('calls on handles of one volume, begun, answered, aborted and closed in any order: each succeeds or leaves nothing, and none is lost', async () => {
  await using store = await openTemporaryStore({ workers: 1 });
  const total = await races(store, RUNS);
  tell('races', total);
  for (const count of Object.values(total)) expect(count).toBeGreaterThan(0);
}, 1_800_000);

// A positive control.
test('the loss would be noticed of commits that do not compare the head with the one that they were made on', async () => {
  await using store = await openStoreOn({ durable: false, without: 'compare' }, join(tempDir(), 'store'), { workers: 1 });
  expect(await failureOf(races(store, 500))).toBeInstanceOf(Error);
}, 1_800_000);
