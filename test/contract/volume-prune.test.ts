import { openStore, type PrunePolicy, type SnapshotInfo, type Store, type Volume } from '@cairn/core';
import fc from 'fast-check';
import { describe, expect, onTestFinished, test } from 'vitest';
import { keptGenerations, type Candidate } from '../../packages/core/src/volume/prune-policy.js';
import { Child } from '../support/children.js';
import { damageObject } from '../support/damage-object.js';
import { tempDir } from '../support/temp-dir.js';
import { codeOf, collect, contents, failure, newVolume, noise, temporaryStore, twoHandles, volumeV } from './support.js';

const DAY_MS = 86_400_000;
const START = Date.parse('2026-01-30T12:00:00.000Z');

/** A volume with a snapshot a day, of which each says its number and a loss; `now` is the last day. */
async function days(losses: (number | string | null)[], store?: Store): Promise<{ store: Store; volume: Volume; ids: string[] }> {
  let day = 0;
  const used =
    store ?? (await temporaryStore({ compression: 'none', clock: () => new Date(START + Math.min(day, losses.length - 1) * DAY_MS) }));
  const volume = await volumeV(used);
  const ids: string[] = [];
  for (; day < losses.length; day++) {
    const loss = losses[day];
    await volume.writeFile('a', noise(20_000, day));
    ids.push((await volume.commit({ message: `${day + 1}`, metadata: loss === null || loss === undefined ? {} : { loss } })).snapshot.id);
  }
  return { store: used, volume, ids };
}

const numbers = (infos: SnapshotInfo[]): number[] => infos.map(({ message }) => Number(message));
const surviving = async (volume: Volume): Promise<number[]> => numbers(await collect(volume.history()));

describe('the rules of a prune policy', () => {
  const candidate = fc.record({
    ageMs: fc.nat(1000),
    metadata: fc.oneof(fc.constant({}), fc.record({ loss: fc.oneof(fc.integer({ min: -3, max: 3 }), fc.constantFrom('1', true)) })),
  });
  const count = fc.integer({ min: 1, max: 6 });
  const policies: fc.Arbitrary<PrunePolicy> = fc
    .record(
      {
        keepLast: count,
        keepEvery: count,
        keepWithinMs: fc.integer({ min: 1, max: 1000 }),
        keepBest: fc.record(
          { metadata: fc.constant('loss'), order: fc.constantFrom('min', 'max'), count },
          { requiredKeys: ['metadata', 'order'] },
        ),
      },
      { requiredKeys: [] },
    )
    .map((policy) => policy as PrunePolicy);

  test('are those of a plain model, which asks of each snapshot whether any rule keeps it', () => {
    fc.assert(
      fc.property(policies, fc.array(candidate, { maxLength: 20 }), fc.array(fc.nat(40), { maxLength: 3 }), (policy, some, tags) => {
        const nowMs = 5000;
        const newestFirst: Candidate[] = some.map(({ ageMs, metadata }, i) => ({
          // With gaps, as a prune before leaves them.
          generation: 2 * (some.length - i) - (i % 2),
          createdAtMs: nowMs - ageMs,
          metadata,
        }));
        const head = newestFirst[0]?.generation ?? 0;
        const kept = keptGenerations(policy, newestFirst, { nowMs, head, tagged: new Set(tags) });
        const isBetter = (a: Candidate, b: Candidate): boolean => {
          const [x, y] = [a.metadata['loss'] as number, b.metadata['loss'] as number];
          return x === y ? a.generation > b.generation : policy.keepBest!.order === 'min' ? x < y : x > y;
        };
        const rated = newestFirst.filter(({ metadata }) => typeof metadata['loss'] === 'number');
        for (const one of newestFirst) {
          const newer = newestFirst.filter(({ generation }) => generation > one.generation).length;
          const expected =
            one.generation === head ||
            tags.includes(one.generation) ||
            (policy.keepLast !== undefined && newer < policy.keepLast) ||
            (policy.keepEvery !== undefined && one.generation % policy.keepEvery === 0) ||
            (policy.keepWithinMs !== undefined && nowMs - one.createdAtMs <= policy.keepWithinMs) ||
            (policy.keepBest !== undefined &&
              rated.includes(one) &&
              rated.filter((other) => isBetter(other, one)).length < (policy.keepBest.count ?? 1));
          expect([one.generation, kept.has(one.generation)]).toEqual([one.generation, expected]);
        }
      }),
      { numRuns: 500 },
    );
  });

  test('that are none, unknown or without meaning are refused, and nothing is removed', async () => {
    const { volume } = await days([1, 2, 3]);
    const wrong: unknown[] = [
      {}, { keepLast: undefined }, { keepLast: 0 }, { keepLast: -1 }, { keepLast: 1.5 }, { keepLast: '3' }, { keepLast: NaN }, { keepEvery: 0 },
      { keepWithinMs: 0 }, { keepWithinMs: NaN }, { keepLast: 2, keepdaily: 7 }, { keepBest: { metadata: '', order: 'min' } }, { keepBest: null }, { keepBest: 'loss' }, { keepLast: null },
      { keepBest: { metadata: 'loss', order: 'best' } }, { keepBest: { metadata: 'loss', order: 'min', count: 0 } },
    ]; // prettier-ignore
    for (const policy of wrong) {
      expect([policy, await codeOf(volume.prune(policy as PrunePolicy))]).toEqual([policy, 'CAIRN_INVALID_ARGUMENT']);
      expect(await codeOf(volume.prune(policy as PrunePolicy, { dryRun: true }))).toBe('CAIRN_INVALID_ARGUMENT');
    }
    expect((await failure(volume.prune({}))).hint).toContain('keepLast');
    expect(await surviving(volume)).toEqual([3, 2, 1]);
  });
});

describe('prune', () => {
  test.each<[PrunePolicy, number[]]>([
    [{ keepLast: 2 }, [8, 7]],
    [{ keepLast: 100 }, [8, 7, 6, 5, 4, 3, 2, 1]],
    [{ keepEvery: 3 }, [8, 6, 3]],
    [{ keepWithinMs: 2 * DAY_MS }, [8, 7, 6]],
    [{ keepBest: { metadata: 'loss', order: 'min' } }, [8, 5]],
    [{ keepBest: { metadata: 'loss', order: 'max', count: 2 } }, [8, 2, 1]],
    [{ keepBest: { metadata: 'none', order: 'max' } }, [8]],
    [{ keepLast: 1, keepEvery: 4, keepBest: { metadata: 'loss', order: 'max' } }, [8, 4, 1]],
  ])('%j keeps %j', async (policy, kept) => {
    const { volume } = await days([9, 8, 3, null, 2, 2.5, 'low', 7]);
    const report = await volume.prune(policy);
    expect([...numbers(report.removed), ...kept].sort()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(report.kept).toBe(kept.length);
    expect(await surviving(volume)).toEqual(kept);
    expect(await volume.prune(policy)).toEqual({ removed: [], kept: kept.length, freed: 0 });
  });

  test('keeps what is tagged; HEAD~n then counts what remains, ids of the removed lead nowhere, and parents may be gone', async () => {
    const { store, volume, ids } = await days([1, 1, 1, 1, 1]);
    await volume.tag('release', ids[1]);
    const { removed } = await volume.prune({ keepLast: 1 });
    expect(removed.map(({ id, generation }) => [id, generation])).toEqual([[ids[3], 4], [ids[2], 3], [ids[0], 1]]); // prettier-ignore
    expect((await volume.snapshot('HEAD~1')).info).toMatchObject({ id: ids[1], parent: ids[0], tags: ['release'] });
    for (const ref of [ids[0]!, ids[2]!.slice(0, 8), 'HEAD~2']) expect(await codeOf(volume.snapshot(ref))).toBe('CAIRN_SNAPSHOT_NOT_FOUND');
    expect((await volume.snapshot('2026-02-01')).info.id).toBe(ids[1]);
    expect((await volume.rollback('release')).snapshot.generation).toBe(6);
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
  });

  test('a dry run reports the same and changes nothing, on a read-only handle too', async () => {
    const { store, volume } = await days([1, 2, 3, 4]);
    const reader = await store.volumes.fromName('v', { readOnly: true });
    const planned = await reader.prune({ keepLast: 2 }, { dryRun: true });
    expect(numbers(planned.removed)).toEqual([2, 1]);
    expect(await surviving(volume)).toEqual([4, 3, 2, 1]);
    expect(await codeOf(reader.prune({ keepLast: 2 }))).toBe('CAIRN_READ_ONLY');
    expect(await volume.prune({ keepLast: 2 })).toEqual(planned);
    expect(await surviving(volume)).toEqual([4, 3]);
  });

  test('frees exactly what becomes unreachable: not what other versions, volumes and forks still need', async () => {
    const { store, volume, ids } = await days([1, 2, 3, 4, 5]);
    await store.volumes.fork('v', 'fork', { at: ids[1]! });
    const other = await store.volumes.fromName('other', { createIfMissing: true });
    await other.copy('a', 'kept', { from: await volume.snapshot(ids[2]) });
    await other.commit();
    const { freed } = await volume.prune({ keepLast: 1 });
    // The first two are in the fork, the content of the third is in the other volume: of that only the trees go.
    expect(freed).toBeGreaterThan(20_000);
    expect(freed).toBeLessThan(22_000);
    expect((await store.usage()).unreachable).toBe(freed);
    const { freed: more } = await (await store.volumes.fromName('fork')).prune({ keepLast: 1 });
    expect(more).toBeGreaterThan(20_000);
    expect((await store.usage()).unreachable).toBe(freed + more);
  });

  test('of a store with any history frees what usage then calls unreachable', async () => {
    const step = fc.record({
      volume: fc.nat(1),
      path: fc.constantFrom('a', 'b', 'd/c'),
      seed: fc.nat(4),
      size: fc.constantFrom(0, 900, 150_000),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 2, maxLength: 14 }), fc.nat(3), async (steps, keepLast) => {
        const store = await openStore(tempDir(), { workers: 1 });
        try {
          const volumes = [await volumeV(store), await store.volumes.fromName('w', { createIfMissing: true })] as const;
          for (const { volume, path, seed, size } of steps) {
            await volumes[volume as 0 | 1].writeFile(path, noise(size, seed));
            await volumes[volume as 0 | 1].commit();
          }
          let unreachable = 0;
          for (const volume of volumes) {
            unreachable += (await volume.prune({ keepLast: keepLast + 1 })).freed;
            expect((await store.usage()).unreachable).toBe(unreachable);
          }
        } finally {
          await store.close();
        }
      }),
      { numRuns: 8 },
    );
  });

  test('leaves handles, snapshots and streams that are open on a removed version as they are', async () => {
    const { open, f, g } = await twoHandles({ a: 'old', b: 'old' });
    const snapshot = await g.snapshot();
    const stream = g.createReadStream('a');
    await f.writeFile('a', 'new');
    await f.commit();
    await f.writeFile('c', 'new');
    await f.commit();
    expect((await f.prune({ keepLast: 1 })).removed).toHaveLength(2);
    expect(Buffer.concat((await collect(stream)) as Buffer[]).toString()).toBe('old');
    for (const view of [g, snapshot]) expect(await contents(view)).toEqual({ a: 'old', b: 'old' });
    await g.writeFile('b', 'mine');
    const { snapshot: made, overwritten } = await g.commit();
    expect(overwritten).toEqual([]);
    expect(made.generation).toBe(4);
    expect(await contents(await open())).toEqual({ a: 'new', b: 'mine', c: 'new' });
  });

  test('spares what is tagged after it was decided, and reports what it really removed and freed', async () => {
    const { store, volume, ids } = await days([1, 2, 3, 4]);
    const tagger = await store.volumes.fromName('v');
    const { publisher } = (volume as unknown as { engine: { publisher: { change: (...args: unknown[]) => Promise<unknown> } } }).engine;
    const change = publisher.change.bind(publisher);
    publisher.change = async (...args) => {
      publisher.change = change;
      await tagger.tag('just-in-time', ids[1]);
      return change(...args);
    };
    const { removed, kept, freed } = await volume.prune({ keepLast: 1 });
    expect([numbers(removed), kept]).toEqual([[3, 1], 2]);
    expect((await store.usage()).unreachable).toBe(freed);
    expect(await surviving(volume)).toEqual([4, 2]);
  });

  test('of an empty volume, an ephemeral one and one that is gone', async () => {
    const empty = await newVolume();
    expect(await empty.prune({ keepLast: 1 })).toEqual({ removed: [], kept: 0, freed: 0 });
    const store = await temporaryStore();
    const ephemeral = await store.volumes.ephemeral();
    for (const text of ['1', '2', '3']) {
      await ephemeral.writeFile('a', text);
      await ephemeral.commit({ message: text });
    }
    expect(numbers((await ephemeral.prune({ keepLast: 1 })).removed)).toEqual([2, 1]);
    const { volume } = await days([1, 2], store);
    await store.volumes.delete('v');
    expect(await codeOf(volume.prune({ keepLast: 1 }))).toBe('CAIRN_VOLUME_NOT_FOUND');
  });

  test('keeps a damaged snapshot, of which it does not know what the rules would say', async () => {
    const dir = tempDir();
    const store = await openStore(dir, { workers: 1 });
    const { ids } = await days([1, 2, 3, 4], store);
    await store.close();
    damageObject(dir, ids[1]!);
    const again = await openStore(dir, { workers: 1 });
    onTestFinished(() => again.close());
    const volume = await volumeV(again);
    const { removed, kept } = await volume.prune({ keepLast: 1 });
    expect([numbers(removed), kept]).toEqual([[3, 1], 2]);
    expect(await codeOf(volume.snapshot('HEAD~1'))).toBe('CAIRN_DAMAGED');
  });

  test('beside processes that commit loses none of their commits', async () => {
    const dir = tempDir();
    const store = await openStore(dir, { workers: 1 });
    onTestFinished(() => store.close());
    const volume = await volumeV(store);
    const children = [1, 2].map((writer) =>
      Child.start('committer.mjs', { dir, volume: 'v', writer: `w${writer}`, firstStep: 1, commits: 12, seed: writer }),
    );
    let running = true;
    const said = Promise.all(children.map((child) => child.succeeds())).finally(() => (running = false));
    const removed = new Set<string>();
    while (running) {
      for (const { id } of (await volume.prune({ keepLast: 2 })).removed) removed.add(id);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const committed = (await said).flat().filter(({ say }) => say === 'done').map(({ id }) => id as string); // prettier-ignore
    const remaining = (await collect(volume.history())).map(({ id }) => id as string);
    expect(committed).toHaveLength(24);
    expect(removed.size).toBeGreaterThan(0);
    expect([...removed, ...remaining].sort()).toEqual(committed.sort());
    expect((await collect(volume.history())).map(({ generation }) => generation)[0]).toBe(24);
    await volume.reload();
    expect(await contents(volume)).toMatchObject({ 'own/w1': 'w1 12', 'own/w2': 'w2 12' });
    expect(await store.verify({ readData: true })).toMatchObject({ ok: true });
  });
});
