import { statSync } from 'node:fs';
import { join } from 'node:path';
import { unlessDamaged } from '../errors.js';
import { IndexEnvironment } from '../index/environment.js';
import { survivesOpening } from '../index/trial.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { isWritable } from './open-dir.js';

/** The index that a repair finds: lost, damaged, or whole; what it tells is to be judged, and its lock keeps others from committing. */
export class OldIndex {
  private readonly indexDir: string;
  private readonly isThere: boolean;
  /** Opening it ends no process. */
  private readonly opens: boolean;

  private constructor(indexDir: string, isThere: boolean, opens: boolean) {
    this.indexDir = indexDir;
    this.isThere = isThere;
    this.opens = opens;
  }

  /** Tries it in another process first, since LMDB believes whatever it reads. @throws what the signal was aborted with; CairnError `CAIRN_WORKER_DIED` */
  static async of(
    { indexDir }: StoreLayout,
    { onlyRead, signal }: { onlyRead: boolean; signal: AbortSignal | undefined },
  ): Promise<OldIndex> {
    const isThere = (statSync(join(indexDir, 'data.mdb'), { throwIfNoEntry: false })?.size ?? 0) > 0;
    const opens = !isThere || (await survivesOpening(indexDir, onlyRead ? 'read' : 'write', signal));
    return new OldIndex(indexDir, isThere, opens);
  }

  /** Whether it can be locked without anything being made. */
  get mayLock(): boolean {
    return this.isThere && isWritable(this.indexDir);
  }

  /** Runs `work` while no other process changes the store: as far as the index can be locked. One that is lost is made, empty, for its lock. */
  async underLock<T>(work: (env: IndexEnvironment | undefined) => T): Promise<T> {
    const env = this.opens ? this.open(false) : undefined;
    if (env === undefined) return work(undefined);
    try {
      let result: { value: T } | undefined;
      env.transaction(() => {
        env.assertNotReplaced();
        result = { value: work(env) };
      });
      return result!.value;
    } finally {
      await env.close();
    }
  }

  /** Runs `work` with the index as it is at some moment, where there is one that can be opened. */
  async reading<T>(work: (env: IndexEnvironment | undefined) => T): Promise<T> {
    const env = this.isThere && this.opens ? this.open(true) : undefined;
    try {
      return work(env);
    } finally {
      await env?.close();
    }
  }

  private open(readOnly: boolean): IndexEnvironment | undefined {
    return unlessDamaged(() => IndexEnvironment.open(this.indexDir, { durable: true, readOnly }));
  }
}
