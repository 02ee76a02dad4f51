import { expect } from 'vitest';
import { Child, type Saying } from './children.js';
import type { FaultyDiskOptions } from './faulty-disk.mjs';

/** Another process that has the volume `v` of a store open, and does what it is told; see `companion.mjs`. */
export class Companion {
  readonly child: Child;
  /** The code of what the store could not be opened for. */
  refused: unknown;
  private dead = false;

  private constructor(child: Child) {
    this.child = child;
    void child.ended.then(() => (this.dead = true));
  }

  /** @param faults what may come over its disk calls once it is armed: it is killed, unless told */
  static async start(dir: string, faults: FaultyDiskOptions = {}): Promise<Companion> {
    const companion = new Companion(Child.start('companion.mjs', { dir, volume: 'v', faults }));
    companion.refused = (await companion.child.hears(({ say }) => say === 'ready' || say === 'refused'))?.['code'];
    return companion;
  }

  get isDead(): boolean {
    return this.dead;
  }

  /** False: it died of it. */
  async does(order: string, more: object = {}): Promise<boolean> {
    return (await this.answers(order, more)) !== undefined;
  }

  /** What it says when it has done it, with the code of an error; undefined: it died of it. */
  async answers(order: string, more: object = {}): Promise<Saying | undefined> {
    const from = this.child.said.length;
    this.child.tell({ order, ...more });
    const answer = await this.child.hears(({ say }) => say === order, from);
    if (answer !== undefined) return answer;
    const { signal, stderr } = await this.child.ended;
    expect({ signal, stderr }).toEqual({ signal: 'SIGKILL', stderr: '' });
    return undefined;
  }
}
