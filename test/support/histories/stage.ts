import { join } from 'node:path';
import type { Store } from '@cairn/core';
import { openStoreOn } from '../../../packages/core/dist/store/open-store.js';
import type { Protection } from '../../../packages/core/dist/disk/disk.js';
import { Child } from '../children.js';
import { withStore } from '../with-store.js';
import { settle, type Settled } from './inspection.mjs';
import { Judge, type Violation } from './judge.js';
import { movesOf } from './record.js';

/** What an actor is asked to play; see `actor.mjs`. */
export interface Order {
  seed: number;
  moves: number;
  seconds?: number;
  weights?: Record<string, number>;
  /** As the stage's own, unless told. */
  durable?: boolean;
  disk?: object;
  /** What the store does not do, that it should. */
  without?: Protection;
  pauseMs?: number;
}

/** A store that actors work on, and a judge who hears all of them. */
export class Stage {
  readonly dir: string;
  readonly judge = new Judge();
  readonly counts = { moves: 0, commits: 0, inDoubt: 0 };
  private readonly root: string;
  private readonly number: number;
  private readonly durable: boolean;
  private lives = 0;
  private own = 0;

  /** Another volume of the same store, with a judge of its own. */
  async next(): Promise<Stage> {
    const stage = new Stage(this.root, this.durable, this.number + 1);
    stage.lives = this.lives;
    await stage.withStore((store) => store.volumes.create(stage.volume));
    return stage;
  }

  private constructor(root: string, durable: boolean, number = 0) {
    this.root = root;
    this.number = number;
    this.dir = join(root, 'store');
    this.durable = durable;
  }

  /** @param durable false: nothing is synced, which makes no difference to those who look through the same kernel. */
  static async make(root: string, { durable = false } = {}): Promise<Stage> {
    const stage = new Stage(root, durable);
    await stage.withStore((store) => store.volumes.create(stage.volume));
    return stage;
  }

  private get volume(): string {
    return `v${this.number}`;
  }

  withStore<T>(use: (store: Store) => Promise<T>): Promise<T> {
    return withStore(this.dir, use, (dir) => openStoreOn({ durable: this.durable }, dir, { workers: 1 }));
  }

  /** Tells an actor to play. The performance ends when it has played, or died. */
  begin(child: Child, order: Order): Performance {
    const name = `a${this.lives++}`;
    const from = child.said.length;
    child.tell({ name, dir: this.dir, volume: this.volume, durable: this.durable, local: join(this.root, name), ...order });
    return new Performance(child, name, from);
  }

  /** Notes what came of a performance that is over. */
  note(performance: Performance): void {
    const moves = movesOf(performance.name, performance.said);
    this.judge.hear(moves);
    this.counts.moves += moves.length;
    this.counts.commits += moves.filter(({ move, outcome }) => move === 'commit' && outcome === 'done').length;
    this.counts.inDoubt += moves.filter(({ outcome }) => outcome !== 'done').length;
  }

  /** Opens the store as the next process would, and judges what is there. @param options living: processes that still have it open */
  async settle({ readData = false, living = 0 } = {}): Promise<Violation[]> {
    return this.judgeWhatIs(await this.withStore((store) => settle(store, this.volume, this.nextMessage(), readData)), { living });
  }

  /** The same in another process, which a bad index may end. @param options failing: calls had reason to fail. */
  async settleIn(inspector: Child, options: { readData: boolean; failing: boolean }): Promise<Violation[]> {
    const from = inspector.said.length;
    inspector.tell({ dir: this.dir, volume: this.volume, message: this.nextMessage(), readData: options.readData });
    const settled = await inspector.hears(({ say }) => say === 'settled', from);
    if (settled === undefined) throw new Error(`the inspector ended: ${JSON.stringify(await inspector.ended)}`);
    return this.judgeWhatIs(settled as unknown as Settled, options);
  }

  private judgeWhatIs(
    { commit, inspection, damage, left, leases }: Settled,
    { living = 0, ...options }: { living?: number; failing?: boolean } = {},
  ): Violation[] {
    this.judge.hear([commit]);
    return [
      ...this.judge.judge(inspection, options),
      ...damage.map((what) => ({ kind: 'damage' as const, what: JSON.stringify(what).slice(0, 2000) })),
      // One lease is that of who asks.
      ...(leases.length <= 1 + living ? left : [...left, ...leases.map((id) => `leases/${id}`)]).map((what) => ({
        kind: 'left' as const,
        what,
      })),
    ];
  }

  private nextMessage(): string {
    return `judge ${++this.own}`;
  }
}

/** One life of an actor on a stage. */
export class Performance {
  readonly child: Child;
  readonly name: string;
  private readonly from: number;

  constructor(child: Child, name: string, from: number) {
    this.child = child;
    this.name = name;
    this.from = from;
  }

  static actor(): Child {
    return Child.start('histories/actor.mjs', {});
  }

  get said(): Child['said'] {
    return this.child.said.slice(this.from);
  }

  /** @throws with what the process wrote to stderr, when it ended before it had played. */
  async played(): Promise<void> {
    if ((await this.child.hears(({ say }) => say === 'played', this.from)) === undefined) {
      await this.child.succeeds();
      throw new Error('the actor went home');
    }
  }

  /** When it has told so many things, or died. */
  async hasSaid(count: number): Promise<void> {
    let heard = 0;
    await this.child.hears(() => ++heard >= count, this.from);
  }
}
