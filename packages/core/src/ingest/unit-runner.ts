import type { Transferable } from 'node:worker_threads';
import type { SealedPack } from '../pack/footer.js';
import type { Work } from '../types.js';
import { Operation } from '../workers/operation.js';
import { AbortedError } from '../workers/operation-control.js';
import type { TaskRunner } from '../workers/pool.js';
import type { ClaimTable } from './claims.js';
import { BORROWED_FIELDS, type IngestTask, type StoreBorrowedTask, type UnitResult } from './messages.js';
import { IngestTally } from './tally.js';
import { UnitLedger } from './unit-ledger.js';

/** Puts sealed packs into the index: the part of the publisher that is needed here. */
export interface PackPublisher {
  /** Id of this engine's lease, which unfinished and unreferenced packs belong to. */
  readonly lease: string;
  publish(packs: SealedPack[]): Promise<void>;
}

/** A call that stores something: what all of its units have in common. */
export class IngestOperation extends Operation {
  readonly tally: IngestTally;
  readonly lease: string;

  constructor(lease: string, work: Work & { tally?: IngestTally | undefined }) {
    const tally = work.tally ?? new IngestTally();
    const before = tally.progress();
    super(work, ({ bytes, newBytes }) => ({
      ...tally.progress(),
      bytes: before.bytes + bytes,
      newBytes: before.newBytes + newBytes,
    }));
    this.tally = tally;
    this.lease = lease;
  }
}

/** A task without what every unit's task has. */
type UnitOrder = DistributiveOmit<Extract<IngestTask, { unit: number }>, 'unit' | 'lease' | 'control'>;
type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

/** Carries work units from their order to the moment when all of their chunks are in the index. */
export class UnitRunner {
  readonly workers: TaskRunner;
  private readonly publisher: PackPublisher;
  private readonly ledger: UnitLedger;

  constructor(workers: TaskRunner, publisher: PackPublisher, claims: ClaimTable) {
    this.workers = workers;
    this.publisher = publisher;
    this.ledger = new UnitLedger(claims);
  }

  /** Begins an operation. The worker threads start while its first unit is being put together. */
  begin(options: Work & { tally?: IngestTally | undefined }): IngestOperation {
    this.workers.warmUp();
    return new IngestOperation(this.publisher.lease, options);
  }

  /**
   * Runs a unit and publishes its pack. What it borrowed from other units is waited for; where such a unit failed, the chunk
   * is stored from this unit's own source, one of `sources`.
   */
  async run<R extends UnitResult>(
    operation: IngestOperation,
    order: UnitOrder,
    sources: StoreBorrowedTask['sources'],
    more: { transfer?: Transferable[]; hurry?: () => void } = {},
  ): Promise<R> {
    const result = await this.runAlone<R>(operation, order, more);
    const missing = await this.missing(result.borrowed);
    if (missing.length > 0)
      await this.runAlone(operation, { type: 'store-borrowed', sources, borrowed: Float64Array.from(missing), rows: result.rows });
    return result;
  }

  private async runAlone<R extends UnitResult>(
    operation: IngestOperation,
    order: UnitOrder,
    more: { transfer?: Transferable[]; hurry?: () => void } = {},
  ): Promise<R> {
    const unit = this.ledger.begin(more.hurry);
    try {
      operation.check();
      const result = await this.workers.run<R>(
        'store',
        { ...order, unit, lease: operation.lease, control: operation.control.memory },
        more.transfer,
      );
      if (result.pack !== null) await this.publisher.publish([result.pack]);
      this.ledger.end(unit, 'published');
      this.account(operation.tally, result);
      return result;
    } catch (error) {
      this.ledger.end(unit, 'failed');
      if (error instanceof AbortedError) operation.check();
      throw error;
    }
  }

  /** The borrowed chunks whose lender failed. */
  private async missing(borrowed: Float64Array): Promise<number[]> {
    const missing: number[] = [];
    for (let at = 0; at < borrowed.length; at += BORROWED_FIELDS) {
      const outcome = await this.ledger.outcome(borrowed[at]!);
      if (outcome === 'failed') missing.push(...borrowed.subarray(at, at + BORROWED_FIELDS));
    }
    return missing;
  }

  private account(tally: IngestTally, { pack, newBytes }: UnitResult): void {
    tally.newBytes += newBytes;
    tally.storedBytes += pack?.sizeBytes ?? 0;
  }
}
