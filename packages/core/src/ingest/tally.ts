import type { PackId } from '../pack/pack-id.js';
import type { Progress } from '../types.js';

/** What one operation, or several that share it, have stored. */
export class IngestTally {
  files = 0;
  /** Bytes of the sources stored. */
  logicalBytes = 0;
  /** Of those, in chunks that the store did not have. */
  newBytes = 0;
  /** Bytes of the packs written. */
  storedBytes = 0;
  /** Packs that hold chunks of the sources, new or not: a commit names them, so that none is collected meanwhile. */
  readonly packs = new Set<PackId>();

  /** Takes over the counts of another tally. */
  add(other: IngestTally): void {
    this.files += other.files;
    this.logicalBytes += other.logicalBytes;
    this.newBytes += other.newBytes;
    this.storedBytes += other.storedBytes;
    for (const pack of other.packs) this.packs.add(pack);
  }

  progress(): Progress {
    return { phase: 'storing', bytes: this.logicalBytes, files: this.files, newBytes: this.newBytes };
  }
}
