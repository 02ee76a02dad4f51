import type { Mount } from '../types.js';
import type { Engine } from '../volume/engine.js';
import type { TaskRunner } from '../workers/pool.js';

/** What mounts need of an open store. */
export interface MountEngine extends Engine {
  readonly pool: TaskRunner;
  /** The store's folder, by its real path. */
  readonly dir: string;
  readonly mountsDir: string;
  /** Those that are open: closed with the store at the latest, so that their last commit finds it open. */
  readonly mounts: Set<Mount>;
}
