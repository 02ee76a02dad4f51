import type { ClaimTable } from './claims.js';

/** How a unit ended: its pack, if it needed one, is in the index, or it came to nothing. */
export type UnitOutcome = 'published' | 'failed';

interface LiveUnit {
  ended: Promise<UnitOutcome>;
  settle: (outcome: UnitOutcome) => void;
  /** Asks a unit that may take for ever to come to an end. */
  hurry: (() => void) | undefined;
}

/** The main thread's book of work units: who borrowed from a unit learns here whether its chunks came to be stored. */
export class UnitLedger {
  private readonly claims: ClaimTable;
  private readonly live = new Map<number, LiveUnit>();
  private readonly failed = new Set<number>();
  private last = 0;

  constructor(claims: ClaimTable) {
    this.claims = claims;
  }

  /** Opens a unit and returns its number. */
  begin(hurry?: () => void): number {
    this.last = this.last === 0x7fffffff ? 1 : this.last + 1;
    let settle!: LiveUnit['settle'];
    const ended = new Promise<UnitOutcome>((resolve) => (settle = resolve));
    this.live.set(this.last, { ended, settle, hurry });
    return this.last;
  }

  end(unit: number, outcome: UnitOutcome): void {
    this.claims.release(unit, outcome !== 'failed');
    if (outcome === 'failed') this.failed.add(unit);
    this.live.get(unit)?.settle(outcome);
    this.live.delete(unit);
  }

  /** Waits for the end of a unit that was borrowed from. */
  async outcome(unit: number): Promise<UnitOutcome> {
    const live = this.live.get(unit);
    if (live === undefined) return this.failed.has(unit) ? 'failed' : 'published';
    live.hurry?.();
    return live.ended;
  }
}
