import type { Progress, Work } from '../types.js';

/** What a phase has to do, as far as that is known when it begins. */
export interface PhaseSize {
  of: 'packs' | 'objects';
  total?: number;
  totalBytes?: number;
}

/** Tells how far a long look at a store is: one phase after another, within each of which what is done only grows. */
export class Phases {
  private readonly work: Work;
  private size: PhaseSize = { of: 'objects' };
  private phase = '';
  private steps = 0;
  private bytes = 0;

  constructor(work: Work) {
    this.work = work;
  }

  begin(phase: string, size: PhaseSize): void {
    this.phase = phase;
    this.size = size;
    this.steps = this.bytes = 0;
    this.report();
  }

  advance(steps: number, bytes = 0): void {
    this.steps += steps;
    this.bytes += bytes;
    this.report();
  }

  private report(): void {
    if (this.work.onProgress === undefined) return;
    const { of, total, totalBytes } = this.size;
    // Others go on writing: there may be more than there was.
    const steps: Progress['steps'] = { of, done: this.steps, ...(total === undefined ? {} : { total: Math.max(total, this.steps) }) };
    this.work.onProgress({
      phase: this.phase,
      bytes: this.bytes,
      ...(totalBytes === undefined ? {} : { totalBytes: Math.max(totalBytes, this.bytes) }),
      files: 0,
      newBytes: 0,
      steps,
    });
  }
}
