import { isCairnError } from '../errors.js';
import { mergeSmallPacks, smallPacks } from '../maintenance/gc/merge-small.js';
import type { CollectParts } from '../maintenance/gc/parts.js';
import type { Mutex } from '../util/mutex.js';

/** A commit that sees more small packs than this has them brought together. */
const MAX_SMALL_PACKS = 64;

/** Commits of this engine between two looks, and packs that have come by any: a look goes through all packs, and where many commit, each would. */
const STEP = MAX_SMALL_PACKS / 4;

interface TidyingParts extends CollectParts {
  /** One collection of this process at a time. */
  readonly collecting: Mutex;
}

/**
 * Brings small packs together behind the commits that made them: each small commit writes one, and many of them cost files and
 * look-ups. One process at a time; a collection comes first. Who commits never waits for it, and it fails into the log only.
 */
export class Tidying {
  private readonly parts: TidyingParts;
  /** Packs that there have to be before it is worth looking which of them are small. */
  private worthLooking = MAX_SMALL_PACKS + 1;
  private running = false;
  /** Since the last look; the first commit is followed by one. */
  private commits = STEP;

  constructor(parts: TidyingParts) {
    this.parts = parts;
  }

  /** Called after each commit; costs one look-up, nearly always. */
  afterCommit(): void {
    const { index, diagnostics } = this.parts;
    if (++this.commits < STEP || this.running || index.state().packs < this.worthLooking) return;
    this.commits = 0;
    this.running = true;
    this.parts
      .run(() => this.parts.collecting.run(() => this.tidy()))
      .catch((error: unknown) => {
        if (!isCairnError(error, 'CAIRN_CLOSED')) diagnostics.log('warn', `small packs were not brought together: ${String(error)}`);
      })
      .finally(() => (this.running = false));
  }

  private async tidy(): Promise<void> {
    const small = await smallPacks(this.parts);
    const bytes = small.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    this.lookAgainAfter(small.length);
    if (small.length <= MAX_SMALL_PACKS || this.parts.index.state().packBytes + 2 * bytes > this.parts.maxBytes) return;
    this.lookAgainAfter(small.length - (await mergeSmallPacks(this.parts, small)));
  }

  /** When so many are small, the next look is due when there can be enough of them, whatever comes between. */
  private lookAgainAfter(small: number): void {
    this.worthLooking = this.parts.index.state().packs + Math.max(STEP, MAX_SMALL_PACKS + 1 - small);
  }
}
