import type { DiskSpec } from '../disk/disk.js';
import type { Compression } from '../encoding/encoding.js';
import type { HashChoice } from '../hash/blake3.js';
import type { EnvironmentOptions } from '../index/environment.js';

/** What every worker of an engine is started with: plain data and shared memory. */
export interface WorkerConfig {
  /** The store's directory. */
  dir: string;
  disk: DiskSpec;
  /** How to open the index, as the engine's main thread has it open. */
  index: EnvironmentOptions;
  hash: HashChoice;
  compression: Compression;
  /** Memory of the engine's `ClaimTable`. */
  claims: SharedArrayBuffer;
  /** Memory of the engine's `Pressure`. */
  pressure: SharedArrayBuffer;
}
