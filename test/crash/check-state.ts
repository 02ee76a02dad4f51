import { isCairnError } from '@cairn/core';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual as isEqual } from 'node:util';
import { Decoder } from '../../packages/core/dist/encoding/decoder.js';
import { repairStoreOn } from '../../packages/core/dist/store/repair-store.js';
import { readObject } from '../../packages/core/dist/maintenance/repair/survey.js';
import { rows } from '../../packages/core/dist/pack/object-table.js';
import { readFooter } from '../../packages/core/dist/pack/read-footer.js';
import { type State, stateOf } from '../support/operations.mjs';
import { withStore } from '../support/with-store.js';
import type { CrashState } from './crash-states.js';
import { type DirectStore, Materializer, openDirectly } from './crashed-store.js';

/** How thoroughly a state is looked at; each is every so many states. */
export interface Depth {
  /** Without its index, which is made anew. */
  repair: number;
  /** All bytes are read again, even those that another state has proven. */
  readAll: number;
  /** By a whole store, with its threads. */
  threads: number;
}

/** What a store held after a crash, and whether it took a repair to open it. */
interface Found {
  holds: State;
  wasRepaired: boolean;
}

/** What is written into a store after a crash, to see that it can be used. */
const PROBE = 'after-the-crash';

/**
 * Opens stores as power cuts left them, compares what they hold with what they may hold, and uses them further. What a store
 * holds follows from its bytes, so a state that comes again is not opened again, but has to be allowed again.
 */
export class StateChecker {
  /** What was found in each state, by its digest. */
  private readonly found = new Map<string, Found>();
  /** Each of those once, by its text. */
  private readonly states = new Map<string, State>();
  private readonly materializer = new Materializer();
  private readonly depth: Depth;
  /** Digests of files by content id: which bytes they are is proven for each pack, once for all states that hold that very pack. */
  private readonly contents = new Map<string, string>();
  private readonly provenPacks = new Set<string>();
  private readonly decoder = new Decoder();

  constructor(depth: Depth) {
    this.depth = depth;
  }

  /** Different states looked at so far. */
  get distinct(): number {
    return this.found.size;
  }

  /** @throws what is wrong, with the state's context. */
  async check(state: CrashState): Promise<void> {
    try {
      let found = this.found.get(state.digest);
      if (found === undefined || (found.wasRepaired && !state.repairing)) {
        found = await this.open(state);
        this.found.set(state.digest, { ...found, holds: this.once(found.holds) });
      }
      const { holds } = found;
      if (!state.allowed.some((allowed) => isEqual(allowed, holds))) {
        throw new Error(`found ${JSON.stringify(holds)}, allowed ${JSON.stringify(state.allowed)}`);
      }
    } catch (error) {
      throw new Error(`a crash ${state.context}: ${error instanceof Error ? error.stack : String(error)}`, { cause: error });
    }
  }

  /** Lets go of the files of states that will not come again. */
  clear(): void {
    this.materializer.clear();
  }

  private once(state: State): State {
    const text = JSON.stringify(state);
    const known = this.states.get(text) ?? state;
    this.states.set(text, known);
    return known;
  }

  private async open(state: CrashState): Promise<Found> {
    const dir = this.materializer.make(state.listing);
    const number = this.found.size;
    const store = join(dir, 'store');
    try {
      const found = await this.use(store, state, number % this.depth.readAll === 0);
      if (number % this.depth.repair === 0) await this.repair(state, found.holds);
      if (number % this.depth.threads === 0) await this.useThreads(state, found.holds);
      return found;
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }

  private async use(dir: string, state: CrashState, readAll: boolean): Promise<Found> {
    const { wasRepaired, ...opened } = state.repairing ? await openOrRepair(dir) : { ...(await openDirectly(dir)), wasRepaired: false };
    const { store, engine } = opened;
    try {
      const before = await stateOf(store, readAll ? new Map() : this.contents);
      await engine.publisher.catchUp();
      engine.index.refresh();
      const found = await stateOf(store, readAll ? new Map() : this.contents);
      // A reader that was there before the first writer has seen one of the two, and never goes back.
      if (!isEqual(before, found) && !state.allowed.some((allowed) => isEqual(allowed, before)))
        throw new Error(`a reader saw ${JSON.stringify(before)}`);
      this.provePacks(opened, state, dir);
      await probe(opened, found);
      return { holds: found, wasRepaired };
    } finally {
      await store.close();
    }
  }

  /** The index is a cache: without it a repair comes to the same. */
  private async repair(state: CrashState, found: State): Promise<void> {
    if (!state.listing.has('store/format')) return;
    const dir = this.materializer.make(state.listing);
    try {
      const store = join(dir, 'store');
      rmSync(join(store, 'index'), { recursive: true, force: true });
      const report = await repairStoreOn({ durable: false }, store, {});
      if (report.damage.length > 0) throw new Error(`a repair found damage: ${JSON.stringify(report.damage)}`);
      const opened = await openDirectly(store);
      try {
        const repaired = await stateOf(opened.store, this.contents);
        if (!isEqual(repaired, found)) throw new Error(`a repair came to ${JSON.stringify(repaired)}, and not to ${JSON.stringify(found)}`);
        await probe(opened, repaired);
      } finally {
        await opened.store.close();
      }
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }

  /** As any program would. */
  private async useThreads(state: CrashState, found: State): Promise<void> {
    if (state.repairing) return;
    const dir = this.materializer.make(state.listing);
    try {
      await withStore(join(dir, 'store'), async (store) => {
        await store.volumes.create(PROBE);
        const { [PROBE]: _probe, ...holds } = await stateOf(store);
        if (!isEqual(holds, found)) throw new Error(`with threads it held ${JSON.stringify(holds)}, and not ${JSON.stringify(found)}`);
        const { damage } = await store.verify({ readData: true });
        if (damage.length > 0) throw new Error(`verify of all bytes found ${JSON.stringify(damage)}`);
      });
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }

  /** Reads every payload of the packs that the index knows. */
  private provePacks({ engine }: DirectStore, state: CrashState, dir: string): void {
    const { layout, packs, hasher, index } = engine;
    for (const { id } of index.packs()) {
      const path = layout.packPath(id);
      const digest = state.listing.get(`store${path.slice(dir.length)}`)?.digest;
      if (digest === undefined) throw new Error(`the index knows pack ${id}, which is not there`);
      if (this.provenPacks.has(digest)) continue;
      const { table } = readFooter(path, id, hasher);
      for (const object of rows(table)) readObject({ layout, packs, hasher, decoder: this.decoder }, id, object);
      this.provenPacks.add(digest);
    }
  }
}

/** After a repair that was cut short the index may be in neither place. */
async function openOrRepair(dir: string): Promise<DirectStore & { wasRepaired: boolean }> {
  try {
    return { ...(await openDirectly(dir)), wasRepaired: false };
  } catch (error) {
    if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
    const { damage } = await repairStoreOn({ durable: false }, dir, {});
    if (damage.length > 0) throw new Error(`a repair found damage: ${JSON.stringify(damage)}`, { cause: error });
    return { ...(await openDirectly(dir)), wasRepaired: true };
  }
}

async function expectWhole({ store }: DirectStore): Promise<void> {
  const { ok, damage } = await store.verify();
  if (!ok) throw new Error(`verify found ${JSON.stringify(damage)}`);
}

/** Commits to a store that a crash has left, reloads, and checks that all the rest is as it was. */
async function probe(opened: DirectStore, found: State): Promise<void> {
  const { store } = opened;
  const reader = 'main' in found ? await store.volumes.fromName('main') : undefined;
  const volume = await store.volumes.fromName('main', { createIfMissing: true });
  await volume.writeFile(PROBE, PROBE);
  await volume.commit({ message: PROBE });
  const expected = structuredClone(found['main'] ?? { history: [], tags: {}, files: {} });
  expected.history.push(PROBE);
  const history: string[] = [];
  await reader?.reload();
  for await (const { message } of (reader ?? volume).history()) history.unshift(message);
  if (!isEqual(history, expected.history)) throw new Error(`after a commit the history was ${history.join()}`);
  if ((await (reader ?? volume).readFile(PROBE, 'utf8')) !== PROBE) throw new Error('a commit after the crash was not there');
  await expectWhole(opened);
}
