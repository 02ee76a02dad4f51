import type { DiskSpec } from '../../disk/disk.js';
import type { IndexReader } from '../../index/reader.js';
import type { MountEngine } from '../../mount/parts.js';
import type { PackFiles } from '../../pack/pack-files.js';
import type { Work } from '../../types.js';
import { Turns } from '../../util/turns.js';

/** What a collection works with. */
export interface CollectParts extends MountEngine {
  readonly packs: PackFiles;
  readonly spec: DiskSpec;
  /** Of all packs: what is copied must not take the room of commits. Infinity: there is no cap. */
  readonly maxBytes: number;
}

/** What a collection does between its steps: it lets others work, tells how far it is, and ends when it is asked to. */
export class Pauses {
  phase = 'marking';
  /** Copied so far. */
  bytes = 0;
  private readonly parts: { index: IndexReader; assertOpen: () => void };
  private readonly work: Work;
  private readonly turns = new Turns();

  constructor(parts: { index: IndexReader; assertOpen: () => void }, work: Work) {
    this.parts = parts;
    this.work = work;
  }

  /** Asked after each small step, or some. */
  isDue(steps = 1): boolean {
    return this.turns.isOver(steps);
  }

  /** From then on the index is read as it is now. @throws what the signal was aborted with; ClosedError */
  async take(): Promise<void> {
    this.work.signal?.throwIfAborted();
    this.work.onProgress?.({ phase: this.phase, bytes: this.bytes, files: 0, newBytes: 0 });
    await this.turns.next();
    this.parts.assertOpen();
    this.parts.index.refresh();
  }
}
