import { randomBytes } from 'node:crypto';
import type { Disk, WritableFile } from '../disk/disk.js';
import { isCairnError } from '../errors.js';
import { digestToHex, type Digest } from '../hash/digest.js';
import type { IndexIdentity } from '../index/environment.js';
import type { IndexReader } from '../index/reader.js';
import type { StoreLayout } from '../pack/store-layout.js';
import { encodeClaims, encodeHolder, LEASE_BYTES, MAX_PINS, slotPosition, type LeaseClaims } from './lease-file.js';
import { thisProcess } from './process-identity.js';

export interface OwnLeaseParts {
  disk: Disk;
  layout: StoreLayout;
  index: Pick<IndexReader, 'refresh' | 'state'>;
  identity: IndexIdentity;
  /** The store's folder can be written: where it cannot, nobody can be told, and a collection may take what is read. */
  writable: boolean;
  /** Hears of what could not be written on a full disk. */
  warn: (message: string) => void;
}

/** Something that keeps what it names until it is let go. */
export interface Grip {
  /** Idempotent. */
  release(): void;
}

/** Calls that began in the same stretch of the journal: they may read what was there since. */
interface Stretch {
  since: number;
  active: number;
}

/**
 * This engine's lease: the file that tells collectors, of any process, what it reads and what it is about to refer to.
 *
 * Readers: `since` is the number of the newest change when the lease was written, and everything is looked up afterwards, so
 * whatever this engine may have seen was in a history then, or is removed by a later change, and collectors keep what later changes
 * remove. Now and then the lease moves on: to what is open at that moment, by name, and what later changes remove.
 *
 * Writers: `pendingEpoch` is written before the first look-up for deduplication, and stays until no reference without a commit is left.
 */
export class OwnLease {
  readonly id = randomBytes(16).toString('hex');
  private readonly parts: OwnLeaseParts;
  private file: WritableFile | undefined;
  private turn = 0;
  private written: LeaseClaims = { since: 0, pins: [], pendingEpoch: null };
  private readonly pins = new Map<string, { snapshot: Digest; users: number }>();
  private readonly pending = new Map<Grip, number>();
  private stretches: Stretch[] = [];
  private closed = false;
  private warned = false;
  /** Handles need not be closed to be safe, but what they hold must not stay for ever either. */
  private readonly forgotten = new FinalizationRegistry<Grip>((grip) => grip.release());

  constructor(parts: OwnLeaseParts) {
    this.parts = parts;
  }

  /** The index that this engine reads. */
  get index(): IndexIdentity {
    return this.parts.identity;
  }

  /** The epoch that collections were in when the oldest reference without a commit was made; null: there is none. */
  get pendingEpoch(): number | null {
    return this.pending.size === 0 ? null : Math.min(...this.pending.values());
  }

  /** Makes this engine known, before it looks at anything that a collection might take. Where it only reads, a full disk is no error. */
  ensure({ must = this.pending.size > 0 } = {}): void {
    if (this.file !== undefined || this.closed || !this.parts.writable) return;
    const { index } = this.parts;
    index.refresh();
    this.written = { since: index.state().seq, pins: [], pendingEpoch: this.pendingEpoch };
    this.stretches = [{ since: this.written.since, active: 0 }];
    try {
      this.create();
    } catch (error) {
      if (must || !(isCairnError(error, 'ENOSPC') || isCairnError(error, 'EACCES'))) throw error;
      if (!this.warned)
        this.parts.warn(`others cannot be told what is being read, so a gc may take versions that are removed meanwhile: ${error.message}`);
      this.warned = true;
    }
    // What is looked up from now on is no older than the lease.
    index.refresh();
  }

  /** Holds a snapshot open. The caller has looked it up in this very turn of the event loop. */
  pin(snapshot: Digest, user: object): Grip {
    if (this.closed) return NOTHING;
    this.ensure();
    const key = digestToHex(snapshot);
    const pin = this.pins.get(key) ?? { snapshot, users: 0 };
    this.pins.set(key, pin);
    pin.users++;
    return this.gripFor(user, () => {
      if (--pin.users === 0) this.pins.delete(key);
      this.advance();
    });
  }

  /** Begins to hold references that no commit has: before anything is looked up for them. */
  hold(user: object): Grip {
    if (this.closed) return NOTHING;
    this.ensure();
    const { index } = this.parts;
    index.refresh();
    const grip = this.gripFor(user, () => {
      this.pending.delete(grip);
      this.atEase(() => this.write());
    });
    this.pending.set(grip, index.state().epoch);
    try {
      this.write();
    } catch (error) {
      this.pending.delete(grip);
      throw error;
    }
    index.refresh();
    return grip;
  }

  /** A call begins that reads what it finds in histories. */
  reading(): Grip {
    this.ensure();
    const stretch = this.stretches.at(-1);
    if (this.closed || stretch === undefined) return NOTHING;
    stretch.active++;
    return once(() => void stretch.active--);
  }

  /** Lets go of what was removed since the lease was written, and is not open. Best effort. */
  advance(): void {
    if (this.file === undefined || this.pins.size > MAX_PINS) return;
    const { index } = this.parts;
    index.refresh();
    const { seq } = index.state();
    if (seq !== this.stretches.at(-1)?.since) this.stretches.push({ since: seq, active: 0 });
    while (this.stretches.length > 1 && this.stretches[0]?.active === 0) this.stretches.shift();
    const since = this.stretches[0]?.since ?? 0;
    if (since === this.written.since && !this.namesWhatIsClosed()) return;
    const pins = [...this.pins.values()].map(({ snapshot }) => snapshot);
    this.atEase(() => this.write({ since, pins, pendingEpoch: this.pendingEpoch }));
  }

  /** What `since` would be after `advance`, were this the number of the newest change by then. */
  sinceAt(seq: number): number {
    if (this.file === undefined || this.pins.size > MAX_PINS) return this.written.since;
    return this.stretches.find(({ active }) => active > 0)?.since ?? seq;
  }

  /** Whether the lease still names snapshots that nobody here has open any more. A call under way may have begun with one of them. */
  private namesWhatIsClosed(): boolean {
    if (this.stretches.some(({ active }) => active > 0)) return false;
    return this.written.pins.some((pin) => !this.pins.has(digestToHex(pin)));
  }

  /** Idempotent. */
  remove(): void {
    this.closed = true;
    if (this.file === undefined) return;
    this.giveUp(this.file);
    this.file = undefined;
    this.discard(this.parts.layout.leasePath(this.id));
  }

  private write(claims: LeaseClaims = { ...this.written, pendingEpoch: this.pendingEpoch }): void {
    const { since, pins, pendingEpoch } = this.written;
    if (this.file === undefined || (claims.since === since && claims.pins === pins && claims.pendingEpoch === pendingEpoch)) {
      if (this.file === undefined && this.pending.size > 0) this.ensure();
      return;
    }
    try {
      this.file.writeSync(encodeClaims(++this.turn, claims), slotPosition(this.turn));
    } catch (error) {
      // Of a file that has failed once nothing is certain: the next one takes its place.
      this.replace(claims, error);
    }
    this.written = claims;
  }

  /** What only lets go need not succeed: the lease then protects more than it has to. */
  private atEase(write: () => void): void {
    try {
      write();
    } catch {
      // told when the next thing has to be written
    }
  }

  private replace(claims: LeaseClaims, cause: unknown): void {
    if (this.file !== undefined) this.giveUp(this.file);
    this.file = undefined;
    const before = this.written;
    this.written = claims;
    try {
      this.create();
    } catch {
      this.written = before;
      throw cause;
    }
  }

  /** The name appears with a whole file under it. It need not survive this boot. */
  private create(): void {
    const { disk, layout, identity } = this.parts;
    disk.mkdir(layout.leasesDir);
    const aside = `${layout.leasePath(this.id)}.tmp`;
    const file = disk.create(aside);
    try {
      const bytes = new Uint8Array(LEASE_BYTES);
      bytes.set(encodeHolder({ ...thisProcess(), createdAtMs: Date.now(), index: identity }));
      bytes.set(encodeClaims(++this.turn, this.written), slotPosition(this.turn));
      file.writeSync(bytes, 0);
      disk.rename(aside, layout.leasePath(this.id));
    } catch (error) {
      this.giveUp(file);
      this.discard(aside);
      throw error;
    }
    this.file = file;
  }

  /** Nothing depends on what becomes of a file that is not written any more. */
  private giveUp(file: WritableFile): void {
    try {
      file.closeSync();
    } catch {
      // closed all the same, as far as it can be
    }
  }

  private discard(path: string): void {
    try {
      this.parts.disk.unlink(path);
    } catch {
      // The next process that opens the store finds that its owner is dead.
    }
  }

  private gripFor(user: object, letGo: () => void): Grip {
    const grip = once(() => {
      this.forgotten.unregister(grip);
      if (!this.closed) letGo();
    });
    this.forgotten.register(user, grip, grip);
    return grip;
  }
}

/** What a closed engine holds. */
const NOTHING: Grip = { release: () => undefined };

function once(action: () => void): Grip {
  let done = false;
  return {
    release: () => {
      if (done) return;
      done = true;
      action();
    },
  };
}
