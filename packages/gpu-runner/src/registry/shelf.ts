import type { Device } from '../device/device.js';
import { ModelTooLargeError, OutOfMemoryError } from '../errors.js';
import type { Entry } from './entry.js';
import type { ModelStatus, RegistryCounters } from './status.js';

/** The models that are in memory or on their way there: who uses them, and which of them go when room is needed. */
export class Shelf {
  readonly budgetBytes: number;
  private readonly device: Device;
  private readonly counters: RegistryCounters;
  private readonly entries = new Map<string, Entry>();
  private clock = 0;

  constructor(device: Device, budgetBytes: number, counters: RegistryCounters) {
    this.device = device;
    this.budgetBytes = budgetBytes;
    this.counters = counters;
  }

  get(key: string): Entry | undefined {
    return this.entries.get(key);
  }

  put(entry: Entry): void {
    this.entries.set(entry.key, entry);
  }

  /** Whether it is still here: not evicted, nor taken away and perhaps put back as another. */
  holds(entry: Entry): boolean {
    return this.entries.get(entry.key) === entry;
  }

  /** From here on nobody finds it. Its memory is left alone. */
  takeAway(entry: Entry): void {
    if (this.holds(entry)) this.entries.delete(entry.key);
  }

  takeAll(): Entry[] {
    const all = [...this.entries.values()];
    this.entries.clear();
    return all;
  }

  list(): ModelStatus[] {
    return [...this.entries.values()].map(({ key, lineage, result, plan, users }) => ({
      key,
      ...(lineage === undefined ? {} : { lineage }),
      state: result === undefined ? ('loading' as const) : ('ready' as const),
      bytes: plan.totalBytes,
      users,
    }));
  }

  use(entry: Entry): void {
    entry.users++;
    entry.lastUse = ++this.clock;
  }

  unuse(entry: Entry): void {
    entry.users--;
    if (entry.users > 0) return;
    if (entry.result !== undefined) {
      if (entry.superseded && this.holds(entry)) this.evict(entry);
      return;
    }
    // Nobody waits for this load any more. A new request must not join it, since it is about to fail.
    this.takeAway(entry);
    entry.abort.abort();
  }

  evict(entry: Entry): void {
    this.takeAway(entry);
    this.counters.evictions++;
    for (const region of entry.result?.regions ?? []) this.device.free(region);
  }

  /** What can go, least recently used first. */
  idle(): Entry[] {
    return [...this.entries.values()]
      .filter(({ users, result }) => users === 0 && result !== undefined)
      .sort((a, b) => a.lastUse - b.lastUse);
  }

  /** The loaded version of a lineage that was used last. */
  newestOf(lineage: string | undefined): Entry | undefined {
    if (lineage === undefined) return undefined;
    const versions = [...this.entries.values()].filter((entry) => entry.lineage === lineage && entry.result !== undefined);
    return versions.sort((a, b) => a.lastUse - b.lastUse).at(-1);
  }

  /**
   * Evicts least recently used models until `bytes` fit; `basis` last, and only when nobody else uses it.
   * @throws ModelTooLargeError, OutOfMemoryError
   */
  makeRoom(bytes: number, basis: Entry | undefined): void {
    if (bytes > this.budgetBytes) throw new ModelTooLargeError(bytes, this.budgetBytes);
    const missing = (): number => {
      const loaded = [...this.entries.values()].reduce((sum, entry) => sum + entry.plan.totalBytes, 0);
      return loaded + this.device.info().lingeringBytes + bytes - this.budgetBytes;
    };
    const idle = this.idle();
    if (basis?.users === 1) idle.push(basis);
    for (const entry of idle) {
      if (missing() <= 0) return;
      this.evict(entry);
    }
    if (missing() > 0)
      throw new OutOfMemoryError(
        bytes,
        `${bytes} bytes do not fit: ${missing()} of the budget of ${this.budgetBytes} are missing, the rest is in use`,
      );
  }

  /** Older versions are of no more use than to those who use them: kept, they would fill the budget reload by reload. */
  supersedeOthers(newest: Entry): void {
    newest.superseded = false;
    if (newest.lineage === undefined) return;
    for (const entry of [...this.entries.values()]) {
      if (entry === newest || entry.lineage !== newest.lineage || entry.result === undefined) continue;
      entry.superseded = true;
      if (entry.users === 0) this.evict(entry);
    }
  }
}
