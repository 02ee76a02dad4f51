import type { Digest } from '../hash/digest.js';
import type { Grip, OwnLease } from '../publish/own-lease.js';

/** What a handle keeps from being collected: the snapshot that it stands on, and what its changes refer to while no commit has them. */
export class Grasp {
  private readonly lease: OwnLease;
  private readonly user: object;
  private base: { snapshot: Digest; pin: Grip } | undefined;
  /** While there may be references without a commit. */
  private changes: Grip | undefined;
  private underWay = 0;

  constructor(lease: OwnLease, user: object) {
    this.lease = lease;
    this.user = user;
  }

  /** The handle stands on this snapshot from now on. */
  standOn(snapshot: Digest | null): void {
    const before = this.base;
    this.base = snapshot === null ? undefined : { snapshot, pin: this.lease.pin(snapshot, this.user) };
    before?.pin.release();
  }

  /** All that is kept now, kept for another user, who goes on when the handle has moved on or is closed. */
  held(user: object): Grip[] {
    const grips = this.base === undefined ? [] : [this.lease.pin(this.base.snapshot, user)];
    return this.changes === undefined ? grips : [...grips, this.lease.hold(user)];
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
    this.base?.pin.release();
    this.letChangesGo();
  }

  private letChangesGo(): void {
    this.changes?.release();
    this.changes = undefined;
  }
}
