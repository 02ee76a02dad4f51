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

  /** Takes over the counts of another tally. */
  add(other: IngestTally): void {
    this.files += other.files;
    this.logicalBytes += other.logicalBytes;
    this.newBytes += other.newBytes;
    this.storedBytes += other.storedBytes;
  }

  progress(): Progress {
    return { phase: 'storing', bytes: this.logicalBytes, files: this.files, newBytes: this.newBytes };
  }
}
