import fc from 'fast-check';
import type { DigestHex } from '../../packages/core/src/hash/digest.js';
import type { PackId } from '../../packages/core/src/pack/pack-id.js';
import { applyChange, EMPTY_REF_TABLE, type RefChange, type RefTable, type VolumeId } from '../../packages/core/src/refs/ref-table.js';

/** A wish, which `fitting` turns into a change that the table allows: a seed for volume, snapshot, generation and name. */
export interface Wish {
  type: Exclude<RefChange['type'], 'restored'>;
  pick: number;
  name: string;
}

const TYPES: Wish['type'][] = ['volume-created', 'head', 'head', 'head', 'volume-renamed', 'volume-deleted', 'tag', 'untag', 'prune'];
export const wish = fc.record<Wish>({
  type: fc.constantFrom(...TYPES),
  pick: fc.nat(1 << 20),
  name: fc.stringMatching(/^[a-z_][a-zA-Z0-9._-]{0,3}$/),
});

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');
export const snapshotId = (value: number): DigestHex => hex(value, 64) as DigestHex;

/** The change that a wish comes to on this table; undefined when nothing fits. */
export function fitting(table: RefTable, { type, pick, name }: Wish): RefChange | undefined {
  const volumes = [...table.volumes.values()];
  const volume = volumes[pick % Math.max(1, volumes.length)];
  const isFree = !volumes.some((other) => other.name === name);
  if (type === 'volume-created') {
    if (!isFree) return undefined;
    const created = { type, volumeId: hex(table.seq * 2 + 1, 32) as VolumeId, name: pick % 7 === 0 ? '' : name, createdAtMs: pick };
    const from = pick % 3 === 0 ? volume?.generations[pick % Math.max(1, volume.generations.length)] : undefined;
    if (from !== undefined) return { ...created, from: { volumeId: volume!.id, generation: from[0] } };
    return created.name === '' ? { ...created, ephemeralOwner: hex(pick, 32) } : created;
  }
  if (volume === undefined) return undefined;
  const volumeId = volume.id;
  const step = volume.generations[pick % Math.max(1, volume.generations.length)];
  switch (type) {
    case 'head':
      return {
        type,
        volumeId,
        generation: (volume.generations.at(-1)?.[0] ?? 0) + 1,
        snapshot: snapshotId(table.seq + 1),
        pack: hex(pick, 32) as PackId,
      };
    case 'volume-renamed':
      return isFree ? { type, volumeId, name } : undefined;
    case 'volume-deleted':
      return { type, volumeId };
    case 'tag':
      return step === undefined ? undefined : { type, volumeId, tag: name, snapshot: step[1] };
    case 'untag':
      return volume.tags.has(name) ? { type, volumeId, tag: name } : undefined;
    case 'prune':
      return volume.generations.length < 2
        ? undefined
        : {
            type,
            volumeId,
            generations: volume.generations.slice(0, 1 + (pick % (volume.generations.length - 1))).map(([generation]) => generation),
          };
  }
}

/** The changes that wishes come to, one after another, and the table after each. */
export function history(wishes: Iterable<Wish>): { change: RefChange; table: RefTable }[] {
  const steps: { change: RefChange; table: RefTable }[] = [];
  let table = EMPTY_REF_TABLE;
  for (const next of wishes) {
    const change = fitting(table, next);
    if (change === undefined) continue;
    table = applyChange(table, change);
    steps.push({ change, table });
  }
  return steps;
}

/** Wishes without end, the same for the same seed. */
export function* wishes(seed: number): Generator<Wish> {
  for (let state = seed >>> 0; ;) {
    const draw = (): number => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) >>> 8;
    yield { type: TYPES[draw() % TYPES.length]!, pick: draw(), name: `n${draw() % 40}` };
  }
}
