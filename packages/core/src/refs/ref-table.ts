import { randomBytes } from 'node:crypto';
import type { DigestHex } from '../hash/digest.js';
import type { PackId } from '../pack/pack-id.js';
import type { Brand } from '../util/brand.js';

/** What a volume is known by inside: random, never reused, so that a name can be deleted and made again. 32 hex digits. */
export type VolumeId = Brand<string, 'VolumeId'>;

export function newVolumeId(): VolumeId {
  return randomBytes(16).toString('hex') as VolumeId;
}

/** One change of a head, tag, name or history: the content of one file of the ref journal. */
export type RefChange =
  | {
      type: 'volume-created';
      volumeId: VolumeId;
      /** Empty for an ephemeral volume. */
      name: string;
      createdAtMs: number;
      /** Lease of the engine that an ephemeral volume belongs to. */
      ephemeralOwner?: string;
      /** A fork: starts with the surviving generations of another volume up to this one. */
      from?: { volumeId: VolumeId; generation: number };
    }
  /** `pack` holds the snapshot record and the nodes that this commit added. */
  | { type: 'head'; volumeId: VolumeId; generation: number; snapshot: DigestHex; pack: PackId }
  | { type: 'volume-renamed'; volumeId: VolumeId; name: string }
  | { type: 'volume-deleted'; volumeId: VolumeId }
  | { type: 'tag'; volumeId: VolumeId; tag: string; snapshot: DigestHex }
  | { type: 'untag'; volumeId: VolumeId; tag: string }
  | { type: 'prune'; volumeId: VolumeId; generations: number[] }
  /** Changes nothing: the table in this file stands in for all that came before, of which a repair could not read everything. */
  | { type: 'restored' };

/** One surviving snapshot of a volume: its generation and its id. */
export type GenerationRef = readonly [generation: number, snapshot: DigestHex];

export interface VolumeState {
  readonly id: VolumeId;
  readonly name: string;
  readonly createdAtMs: number;
  readonly ephemeralOwner?: string;
  /** Oldest first; the last one is the head. Empty before the first commit. */
  readonly generations: readonly GenerationRef[];
  readonly tags: ReadonlyMap<string, DigestHex>;
}

/** All heads, histories, names and tags after change `seq`: what the journal adds up to. */
export interface RefTable {
  readonly seq: number;
  readonly volumes: ReadonlyMap<VolumeId, VolumeState>;
}

export const EMPTY_REF_TABLE: RefTable = { seq: 0, volumes: new Map() };

/** Raised for a change that does not fit the table: a bug of its writer, or damage. */
export class RefChangeError extends Error {}

/**
 * The table after one more change. Pure: this is the meaning of the journal, and what the index must always agree with.
 * @throws RefChangeError when the change does not fit.
 */
export function applyChange(table: RefTable, change: RefChange): RefTable {
  const volumes = new Map(table.volumes);
  switch (change.type) {
    case 'volume-created':
      if (volumes.has(change.volumeId)) throw new RefChangeError(`volume ${change.volumeId} exists already`);
      checkName(volumes, change.name);
      volumes.set(change.volumeId, createdVolume(volumes, change));
      break;
    case 'volume-deleted':
      existing(volumes, change.volumeId);
      volumes.delete(change.volumeId);
      break;
    case 'volume-renamed': {
      const volume = existing(volumes, change.volumeId);
      if (volume.name !== change.name) checkName(volumes, change.name);
      volumes.set(volume.id, { ...volume, name: change.name });
      break;
    }
    case 'head': {
      const volume = existing(volumes, change.volumeId);
      const head = volume.generations.at(-1)?.[0] ?? 0;
      if (change.generation <= head) throw new RefChangeError(`generation ${change.generation} after ${head} of volume ${volume.id}`);
      volumes.set(volume.id, { ...volume, generations: [...volume.generations, [change.generation, change.snapshot]] });
      break;
    }
    case 'tag': {
      const volume = existing(volumes, change.volumeId);
      volumes.set(volume.id, { ...volume, tags: new Map(volume.tags).set(change.tag, change.snapshot) });
      break;
    }
    case 'untag': {
      const volume = existing(volumes, change.volumeId);
      const tags = new Map(volume.tags);
      if (!tags.delete(change.tag)) throw new RefChangeError(`no tag '${change.tag}' in volume ${volume.id}`);
      volumes.set(volume.id, { ...volume, tags });
      break;
    }
    case 'prune': {
      const volume = existing(volumes, change.volumeId);
      const gone = new Set(change.generations);
      volumes.set(volume.id, { ...volume, generations: volume.generations.filter(([generation]) => !gone.has(generation)) });
      break;
    }
    case 'restored':
      break;
  }
  return { seq: table.seq + 1, volumes };
}

function createdVolume(volumes: ReadonlyMap<VolumeId, VolumeState>, change: RefChange & { type: 'volume-created' }): VolumeState {
  const { from } = change;
  const inherited =
    from === undefined ? [] : existing(volumes, from.volumeId).generations.filter(([generation]) => generation <= from.generation);
  return {
    id: change.volumeId,
    name: change.name,
    createdAtMs: change.createdAtMs,
    ...(change.ephemeralOwner === undefined ? {} : { ephemeralOwner: change.ephemeralOwner }),
    generations: inherited,
    tags: new Map(),
  };
}

function existing(volumes: ReadonlyMap<VolumeId, VolumeState>, id: VolumeId): VolumeState {
  const volume = volumes.get(id);
  if (volume === undefined) throw new RefChangeError(`no volume ${id}`);
  return volume;
}

function checkName(volumes: ReadonlyMap<VolumeId, VolumeState>, name: string): void {
  if (name === '') return;
  for (const volume of volumes.values()) if (volume.name === name) throw new RefChangeError(`two volumes named '${name}'`);
}
