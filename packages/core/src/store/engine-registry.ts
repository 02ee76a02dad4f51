/** What the registry needs of an engine, whichever install of the package made it. */
export interface SharedEngine {
  shutDown(): Promise<void>;
}

interface Slot {
  users: number;
  engine: Promise<SharedEngine>;
  /** Settles when the last user is gone and everything is closed. */
  closing?: Promise<void>;
}

/** Grows when engines of two installs could not be shared any more. */
const REGISTRY = Symbol.for('cairn.engines.1');

/**
 * One engine per store and process: LMDB must not be opened twice, and one pool of workers serves all handles. Two copies
 * of the package in one process find each other here.
 */
function slots(): Map<string, Slot> {
  const shared = globalThis as { [REGISTRY]?: Map<string, Slot> };
  return (shared[REGISTRY] ??= new Map<string, Slot>());
}

/**
 * The engine of a store, started by the first user. Users that want other options than the first share what it chose.
 * `release` is idempotent; the last one closes the engine and waits for it.
 */
export async function shareEngine<E extends SharedEngine>(
  key: string,
  start: () => Promise<E>,
): Promise<{ engine: E; release: () => Promise<void> }> {
  for (let slot = slots().get(key); slot?.closing !== undefined; slot = slots().get(key)) await slot.closing;
  const slot = slots().get(key) ?? { users: 0, engine: start() };
  slots().set(key, slot);
  slot.users++;
  const leave = (): Promise<void> => {
    if (--slot.users > 0) return Promise.resolve();
    slot.closing = slot.engine
      .then(
        (engine) => engine.shutDown(),
        () => undefined,
      )
      .finally(() => slots().delete(key));
    return slot.closing;
  };
  try {
    const engine = (await slot.engine) as E;
    let released: Promise<void> | undefined;
    return { engine, release: () => (released ??= leave()) };
  } catch (error) {
    await leave();
    throw error;
  }
}
