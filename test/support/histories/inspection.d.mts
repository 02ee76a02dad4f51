import type { Damage, ReadView, Store } from '@cairn/core';
import type { Move } from './record.js';

/** Digest of a file, or `/`, by path. */
export type Files = { [path: string]: string };
export interface Version {
  id: string;
  parent: string | null;
  generation: number;
  message: string;
  /** What was done, as its author wrote it into the metadata: JSON of `Step[]`. */
  steps: string | undefined;
  files: Files;
}
export interface Inspection {
  /** Oldest first. */
  versions: Version[];
  /** Snapshot by tag. */
  tags: { [tag: string]: string };
}
export declare function contentOf(text: string): Buffer;
export declare function digestOf(bytes: Uint8Array): string;
export declare function filesOf(view: ReadView, read?: Map<unknown, string>, least?: number): Promise<Files>;
export declare function inspect(store: Store, name: string): Promise<Inspection>;
export interface Settled {
  commit: Move;
  inspection: Inspection;
  damage: Damage[];
  left: string[];
  leases: string[];
}
export declare function settle(store: Store, name: string, message: string, readData: boolean): Promise<Settled>;
