import type { Digest } from '../hash/digest.js';
import type { Grip, OwnLease } from '../publish/own-lease.js';

/** What a handle keeps from being collected: the snapshot that it stands on, and what its changes refer to while no commit has them. */
export class Grasp {
  private readonly lease: OwnLease;
  private readonly user: object;
  private base: Digest | null = null;
  private basePin: Grip | undefined;
  private changes: Grip | undefined;
  private underWay = 0;

  constructor(lease: OwnLease, user: object) {
    this.lease = lease;
    this.user = user;
  }

  /** Whether there may be references without a commit. */
  private get holdsChanges(): boolean {
    return this.changes !== undefined;
  }

  /** The handle stands on this snapshot from now on. */
  standOn(snapshot: Digest | null): void {
    const before = this.basePin;
    this.base = snapshot;
    this.basePin = snapshot === null ? undefined : this.lease.pin(snapshot, this.user);
    before?.release();
  }

  /** All that is kept now, kept for another user, who goes on when the handle has moved on or is closed. */
  held(user: object): Grip[] {
    const grips = this.base === null ? [] : [this.lease.pin(this.base, user)];
    return this.holdsChanges ? [...grips, this.lease.hold(user)] : grips;
  }

  /** Runs what looks up, or makes, references. They stay held, until `settled` tells that none are left. */
  async changing<T>(work: () => Promise<T>, settled: () => boolean = () => false): Promise<T> {
    this.changes ??= this.lease.hold(this.user);
    this.underWay++;
    try {
      return await work();
    } finally {
      if (--this.underWay === 0 && settled()) this.letChangesGo();
    }
  }

  release(): void {
    this.basePin?.release();
    this.letChangesGo();
  }

  private letChangesGo(): void {
    this.changes?.release();
    this.changes = undefined;
  }
}
