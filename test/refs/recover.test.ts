import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DigestHex } from '../../packages/core/src/hash/digest.js';
import type { ToldRefs } from '../../packages/core/src/refs/agreement.js';
import type { Version } from '../../packages/core/src/refs/fill-from-versions.js';
import type { Hole, JournalFacts } from '../../packages/core/src/refs/journal-facts.js';
import { recoverRefs } from '../../packages/core/src/refs/recover.js';
import { EMPTY_REF_TABLE, type RefChange, type RefTable, type VolumeId } from '../../packages/core/src/refs/ref-table.js';
import { history, wish } from '../support/ref-changes.js';

type Step = { change: RefChange; table: RefTable };

const steps = fc
  .array(wish, { minLength: 12, maxLength: 60 })
  .map(history)
  .filter((all) => all.length >= 4);

/** The journal of a history without the files of some changes. */
function without(all: readonly Step[], gone: readonly number[]): JournalFacts {
  const changes = all.map(({ change }, i) => ({ seq: i + 1, change })).filter(({ seq }) => !gone.includes(seq));
  const holes: Hole[] = [...gone].sort((a, b) => a - b).map((seq) => ({ from: seq, to: seq }));
  return { base: EMPTY_REF_TABLE, changes, holes, newest: all.length, damaged: gone, damage: [] };
}

/** The records that the commits of a history put into packs. */
function versionsOf(all: readonly Step[]): Version[] {
  return all.flatMap(({ change }, i) => {
    if (change.type !== 'head') return [];
    const before = all[i - 1]!.table.volumes.get(change.volumeId)!.generations.at(-1);
    const { snapshot: id, volumeId, generation } = change;
    return [{ id, volumeId, generation, parent: before === undefined ? null : before[1], createdAtMs: i }];
  });
}

/** A table in a form that compares, whatever the order of things. */
function plain({ seq, volumes }: RefTable): unknown {
  const byId = [...volumes.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
  return { seq, volumes: byId.map((volume) => ({ ...volume, tags: [...volume.tags].sort() })) };
}

const whole = (table: RefTable): ToldRefs => ({ table, whole: true, knowsPacks: true });
/** Numbers of a history, as many as wanted, by chance. */
const some = (all: readonly unknown[], picks: readonly number[]): number[] => [...new Set(picks.map((pick) => 1 + (pick % all.length)))];
const picks = fc.array(fc.nat(1000), { minLength: 1, maxLength: 4 });

describe('refs that a journal with holes does not tell', () => {
  it('are those of an index that has all changes, exactly', () => {
    fc.assert(
      fc.property(steps, picks, (all, wanted) => {
        const gone = some(all, wanted);
        const found = recoverRefs(without(all, gone), whole(all.at(-1)!.table), () => versionsOf(all));
        expect(plain(found.table)).toEqual(plain(all.at(-1)!.table));
        expect(found).toMatchObject({ missing: gone.length, fromIndex: gone.length, unknown: 0, unplaced: [] });
      }),
      { numRuns: 300 },
    );
  });

  it('are made up for by an index as far as it goes, and what came later is never rolled back', () => {
    fc.assert(
      fc.property(steps, picks, fc.nat(1000), (all, wanted, at) => {
        const seq = 1 + (at % all.length);
        // Where the index ends before a hole, its account ends; what the journal tells from there on stands.
        const gone = some(all, wanted).filter((each) => each <= seq);
        const found = recoverRefs(without(all, gone), whole(all[seq - 1]!.table), () => versionsOf(all));
        expect(plain(found.table)).toEqual(plain(all.at(-1)!.table));
      }),
      { numRuns: 300 },
    );
  });

  it('with one commit missing and no index are found by the records in packs, exactly', () => {
    fc.assert(
      fc.property(steps, fc.nat(1000), (all, pick) => {
        const heads = all.flatMap(({ change }, i) => (change.type === 'head' ? [i + 1] : []));
        fc.pre(heads.length > 0);
        const found = recoverRefs(without(all, [heads[pick % heads.length]!]), undefined, () => versionsOf(all));
        expect(plain(found.table)).toEqual(plain(all.at(-1)!.table));
      }),
      { numRuns: 300 },
    );
  });

  it('keep or name every version that was there, whatever single change is missing', () => {
    fc.assert(
      fc.property(steps, fc.nat(1000), (all, pick) => {
        const found = recoverRefs(without(all, some(all, [pick])), undefined, () => versionsOf(all));
        for (const before of all.at(-1)!.table.volumes.values()) {
          const after = found.table.volumes.get(before.id);
          // A volume whose creation is missing, and that nothing was committed to, has left no trace.
          if (after === undefined && !all.some(({ change }) => change.type === 'head' && change.volumeId === before.id)) continue;
          // What it cannot place it names.
          const ids = new Set([
            ...found.unplaced.map(({ id }) => id),
            ...[...found.table.volumes.values()].flatMap(({ generations }) => generations.map(([, id]) => id)),
          ]);
          expect(before.generations.filter(([, id]) => !ids.has(id))).toEqual([]);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('are not taken from the index of another store, nor from one that went another way', () => {
    fc.assert(
      fc.property(steps, steps, picks, fc.boolean(), (all, others, wanted, isWhole) => {
        const gone = some(all, wanted);
        const journal = without(all, gone);
        const versions = (): Version[] => versionsOf(all);
        // Other volumes altogether; and the same ones, in which other versions were committed.
        for (const [ids, snapshots] of [
          ['e', 'd'],
          ['0', 'd'],
        ] as const) {
          const { seq, volumes } = others.at(-1)!.table;
          const strange = [...volumes.values()].map((volume) => ({
            ...volume,
            id: (ids + volume.id.slice(1)) as VolumeId,
            generations: volume.generations.map(([generation, id]) => [generation, (snapshots + id.slice(1)) as DigestHex] as const),
          }));
          const told = {
            table: { seq: Math.max(seq, all.length), volumes: new Map(strange.map((each) => [each.id, each])) },
            whole: isWhole,
            knowsPacks: false,
          };
          const known = recoverRefs(journal, undefined, versions);
          fc.pre(known.table.volumes.size > 0 && strange.some(({ generations }) => generations.length > gone.length));
          expect(plain(recoverRefs(journal, told, versions).table)).toEqual(plain(known.table));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('are taken from an index that cannot be read in full only to add what it tells', () => {
    fc.assert(
      fc.property(steps, picks, fc.nat(1000), (all, wanted, hide) => {
        const { seq, volumes } = all.at(-1)!.table;
        const told = [...volumes.values()].map((volume) => ({
          ...volume,
          generations: volume.generations.filter(([generation]) => (generation + hide) % 3 > 0),
        }));
        const gone = some(all, wanted);
        const found = recoverRefs(
          without(all, gone),
          { table: { seq, volumes: new Map(told.map((each) => [each.id, each])) }, whole: false, knowsPacks: true },
          () => versionsOf(all),
        );
        const alone = recoverRefs(without(all, gone), undefined, () => []);
        const pairs = (table: RefTable): string[] =>
          [...table.volumes.values()].flatMap(({ id, generations }) => generations.map(([, snapshot]) => `${id} ${snapshot}`));
        const left = new Set(pairs(found.table));
        expect(pairs(alone.table).filter((pair) => !left.has(pair))).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
