import { repairStore, type Store, type Volume } from '@cairn/core';
import { once } from 'node:events';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { describe, expect, test } from 'vitest';
import type { Protection } from '../../packages/core/dist/disk/disk.js';
import { ObjectKind } from '../../packages/core/dist/hash/object-kind.js';
import type { CollectParts } from '../../packages/core/dist/maintenance/gc/parts.js';
import type { SealedPack } from '../../packages/core/dist/pack/footer.js';
import { rows, TableBuilder } from '../../packages/core/dist/pack/object-table.js';
import type { PackId } from '../../packages/core/dist/pack/pack-id.js';
import { readFooter } from '../../packages/core/dist/pack/read-footer.js';
import { openStoreOn } from '../../packages/core/dist/store/open-store.js';
import { collect } from '../contract/support.js';
import { Companion } from '../support/companion.js';
import { codeOf, failureOf } from '../support/failures.js';
import { noise } from '../support/random.js';
import { tempDir } from '../support/temp-dir.js';
import { withStore } from '../support/with-store.js';

/** More than is held in memory for small writes, so that chunks lie in packs of their own. */
const OLD = noise(5 << 20, 1);
const NEW = noise(5 << 20, 2);

/** That commits compare heads is for histories to show. */
type OfCollections = Exclude<Protection, 'compare' | 'index' | 'collector'>;

/** What each protection is for, as a story that ends with the bytes that it saved. */
const STORIES: Record<OfCollections, (store: Store, volume: Volume) => Promise<Uint8Array>> = {
  // A version that is open stays readable when it leaves the history.
  leases: async (store, volume) => {
    const old = await volume.snapshot('HEAD~1');
    await volume.prune({ keepLast: 1 });
    await store.gc();
    return old.readFile('file');
  },
  // So does one that a stream began with, whose view is closed.
  removed: async (store, volume) => {
    const old = await volume.snapshot('HEAD~1');
    const stream = old.createReadStream('file');
    await old.close();
    await volume.prune({ keepLast: 1 });
    await store.gc();
    return buffer(stream);
  },
  // What is only in a handle's changes is there when they are committed.
  pending: async (store, volume) => {
    await volume.writeFile('again', OLD);
    await volume.prune({ keepLast: 1 });
    await store.gc();
    await volume.commit();
    return volume.readFile('again');
  },
  // And stays, when the commit comes between the condemnation and the deletion.
  revive: async (store, volume) => {
    await volume.writeFile('again', OLD);
    await volume.prune({ keepLast: 1 });
    await store.gc();
    await volume.commit();
    await deleteCondemned(store);
    return volume.readFile('again');
  },
  // And when another collection, which had marked before that one, has copied a node above it: the copy must not count.
  epoch: async (store, volume) => {
    const old = await volume.snapshot('HEAD~1');
    await volume.copy('file', 'again', { from: old });
    await old.close();
    const { publisher, index } = engineOf(store);
    const { epoch } = index.state();
    const copied = await copyObjects(store);
    await volume.prune({ keepLast: 1 });
    await store.gc();
    await publisher.claimCollection({ first: true });
    await publisher.moveCopies({ epoch, ...copied });
    await volume.commit();
    await deleteCondemned(store);
    return volume.readFile('again');
  },
};

function engineOf(store: Store): CollectParts {
  return (store as unknown as { engine: CollectParts }).engine;
}

/** What a collection does last. */
async function deleteCondemned(store: Store): Promise<void> {
  const { publisher } = engineOf(store);
  await publisher.doom({ before: { alive: [], dead: [], unreadable: [] }, roots: [] });
  await publisher.sweep(100);
}

/** Copies all nodes and records, or everything, to a pack of their own, which nobody knows yet. */
async function copyObjects(store: Store, everything = false): Promise<{ pack: SealedPack; sources: PackId[] }> {
  const { index, layout, hasher, data, lease } = engineOf(store);
  const sources = [...index.packs()].map(({ id }) => {
    const nodes = new TableBuilder();
    for (const row of rows(readFooter(layout.packPath(id), id, hasher).table))
      if (everything || row.kind !== ObjectKind.chunk) nodes.add(row);
    return { pack: id, rows: nodes.finish() };
  });
  const { pack } = await data.copyObjects(sources, lease.id);
  return { pack: pack!, sources: sources.map((source) => source.pack) };
}

/** A store with two versions of a file. An engine's own packs are spared as long as it has unfinished work: these are of one that is gone. */
async function storeOfTwo(without?: OfCollections): Promise<Store> {
  const dir = join(tempDir(), 'store');
  await using before = await openStoreOn({ durable: false }, dir, { workers: 1 });
  const writer = await before.volumes.fromName('v', { createIfMissing: true });
  for (const bytes of [OLD, NEW]) {
    await writer.writeFile('file', bytes);
    await writer.commit();
  }
  await before.close();
  return await openStoreOn({ durable: false, ...(without === undefined ? {} : { without }) }, dir, { workers: 1 });
}

async function tell(story: OfCollections, without?: OfCollections): Promise<Uint8Array> {
  await using store = await storeOfTwo(without);
  const volume = await store.volumes.fromName('v');
  // Awaited here: the store closes with this scope.
  return await STORIES[story](store, volume);
}

describe('a collection takes nothing that is in use', () => {
  test.each(Object.keys(STORIES) as OfCollections[])('%s', async (story) => {
    expect(Buffer.from(await tell(story)).equals(OLD)).toBe(true);
  });

  test.each(Object.keys(STORIES) as OfCollections[])('and would without this protection: %s', async (story) => {
    const failure = await tell(story, story).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(codeOf(failure)).toBe('CAIRN_DAMAGED');
  });

  test('a stream of a version that had left the history when it began, though its view is closed', async () => {
    await using store = await storeOfTwo();
    const volume = await store.volumes.fromName('v');
    const old = await volume.snapshot('HEAD~1');
    const another = volume.createReadStream('file');
    await volume.prune({ keepLast: 1 });
    // Whenever something is closed the lease moves on, as far as the oldest stream lets it.
    const moveOn = async (): Promise<void> => (await volume.snapshot('HEAD')).close();
    await moveOn();
    const stream = old.createReadStream('file');
    await old.close();
    another.destroy();
    await once(another, 'close');
    await moveOn();
    await store.gc();
    await store.gc();
    expect((await buffer(stream)).equals(OLD)).toBe(true);
  });

  test('nothing stays protected for a call that failed', async () => {
    await using store = await storeOfTwo();
    const volume = await store.volumes.fromName('v');
    expect(codeOf(await failureOf(volume.open('missing')))).toBe('ENOENT');
    expect(codeOf(await failureOf(collect(volume.diff('nobody'))))).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    expect(codeOf(await failureOf(collect(volume.history({ from: 'nobody' }))))).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    await volume.prune({ keepLast: 1 });
    const { held, waiting, freed } = await store.gc();
    expect({ held, waiting }).toEqual({ held: 0, waiting: 0 });
    expect(freed).toBeGreaterThan(OLD.length);
  });
});

describe('beside another process', () => {
  /** A volume of two small files, each in a pack of its own, that another process has open. */
  async function stored(): Promise<{ dir: string; companion: Companion }> {
    const dir = join(tempDir(), 'store');
    await withStore(dir, async (store) => {
      const volume = await store.volumes.fromName('v', { createIfMissing: true });
      for (const name of ['a', 'b']) {
        await volume.writeFile(name, noise(20_000, name.charCodeAt(0)));
        await volume.commit();
      }
    });
    return { dir, companion: await Companion.start(dir) };
  }

  test.each([undefined, 'index'] as const)(
    'who reads an index that a repair has replaced finds all where it says (without: %s)',
    async (without) => {
      const { dir, companion } = await stored();
      await companion.does('open');
      await repairStore(dir);
      await using store = await openStoreOn({ durable: false, ...(without === undefined ? {} : { without }) }, dir, { workers: 1 });
      // Moves what is open there to another pack, of which only the new index knows.
      const volume = await store.volumes.fromName('v');
      await volume.writeFile('c', 'c');
      await volume.commit();
      await store.optimize();
      const answer = await companion.answers('read');
      expect(answer?.['code']).toBe(without === undefined ? undefined : 'CAIRN_DAMAGED');
    },
  );

  test.each([undefined, 'collector'] as const)(
    'who has lost the claim to collect moves nothing, and outdates no marking (without: %s)',
    async (without) => {
      const { dir, companion } = await stored();
      await using store = await openStoreOn({ durable: false, ...(without === undefined ? {} : { without }) }, dir, { workers: 1 });
      const { index, publisher } = engineOf(store);
      await publisher.claimCollection({ first: false });
      const { epoch } = index.state();
      const copied = await copyObjects(store, true);
      await companion.does('claim');
      const moved = await publisher.moveCopies({ epoch, ...copied });
      const retired = await publisher.retire({ epoch, packs: copied.sources });
      index.refresh();
      const mayGoOn = without !== undefined;
      expect({ moved, retired, isOutdated: index.state().epoch !== epoch }).toEqual({
        moved: mayGoOn,
        retired: mayGoOn,
        isOutdated: mayGoOn,
      });
    },
  );
});
