import type { DigestHex } from '../hash/digest.js';
import type { JournalEntry } from './journal-file.js';
import type { RefChange, RefTable, VolumeId, VolumeState } from './ref-table.js';

/** A volume as far as it is known. */
export interface KnownVolume {
  readonly id: VolumeId;
  /** Undefined: not known. Empty: an ephemeral volume. */
  name: string | undefined;
  /** 0: not known. */
  createdAtMs: number;
  ephemeralOwner?: string;
  readonly generations: Map<number, DigestHex>;
  readonly tags: Map<string, DigestHex>;
  /** Up to this generation its history is known for certain: what is not there was pruned. */
  floor: number;
  readonly pruned: Set<number>;
  /** Of a fork whose origin has lost the generation where it began. */
  began?: { volumeId: VolumeId; generation: number };
}

/**
 * Adds up changes some of which are missing: what a change refers to was there, whether it is known or not, so nothing that
 * is known later is left out. Without holes it comes to what `applyChange` does.
 */
export class LenientReplay {
  readonly volumes = new Map<VolumeId, KnownVolume>();
  readonly deleted = new Set<VolumeId>();
  /** Numbers of changes that do not fit what came before. */
  readonly misfits: number[] = [];
  /** Versions that were in some history at some time. */
  readonly ever = new Set<DigestHex>();
  private readonly since = new Map<string, number>();
  private readonly start: number;
  private seq: number;

  constructor(base: RefTable) {
    this.start = this.seq = base.seq;
    for (const { generations, tags, ...volume } of base.volumes.values()) {
      for (const [, snapshot] of generations) this.ever.add(snapshot);
      const floor = generations.at(-1)?.[0] ?? 0;
      this.volumes.set(volume.id, { ...volume, generations: new Map(generations), tags: new Map(tags), floor, pruned: new Set() });
    }
  }

  /** Number of the change since which something has been as it is. */
  sinceOf(volume: VolumeId, what: string): number {
    return this.since.get(`${volume} ${what}`) ?? this.start;
  }

  /** Number of the last change of which a volume has something. */
  lastOf({ id, generations, tags }: KnownVolume): number {
    const parts = [
      'volume',
      'name',
      ...[...generations.keys()].map((each) => `generation ${each}`),
      ...[...tags.keys()].map((tag) => `tag ${tag}`),
    ];
    return Math.max(...parts.map((part) => this.sinceOf(id, part)));
  }

  apply({ seq, change }: JournalEntry): void {
    this.seq = seq;
    if (change.type === 'restored') return;
    if (change.type === 'volume-created') return this.create(change);
    const volume = this.existing(change.volumeId);
    switch (change.type) {
      case 'volume-deleted':
        this.volumes.delete(volume.id);
        this.deleted.add(volume.id);
        break;
      case 'volume-renamed':
        this.name(volume, change.name);
        break;
      case 'head':
        if (change.generation <= headOf(volume)) this.misfits.push(seq);
        if (!volume.generations.has(change.generation)) this.put(volume, change.generation, change.snapshot);
        break;
      case 'tag':
        volume.tags.set(change.tag, change.snapshot);
        this.note(volume.id, `tag ${change.tag}`);
        break;
      case 'untag':
        if (!volume.tags.delete(change.tag)) this.misfits.push(seq);
        this.note(volume.id, `tag ${change.tag}`);
        break;
      case 'prune':
        for (const generation of change.generations) {
          volume.generations.delete(generation);
          volume.pruned.add(generation);
        }
    }
  }

  /** Adds what was found elsewhere. */
  put(volume: KnownVolume, generation: number, snapshot: DigestHex): void {
    volume.generations.set(generation, snapshot);
    this.ever.add(snapshot);
    this.note(volume.id, `generation ${generation}`);
  }

  /** A volume of which nothing is known but that it is there. */
  add(id: VolumeId): KnownVolume {
    const volume = { id, name: undefined, createdAtMs: 0, generations: new Map(), tags: new Map(), floor: 0, pruned: new Set<number>() };
    this.volumes.set(id, volume);
    this.note(id, 'volume');
    return volume;
  }

  /** Names a volume. Another one that has the name must have got a new one, or gone, in a change that is missing. */
  name(volume: KnownVolume, name: string): void {
    const other = name === '' ? undefined : [...this.volumes.values()].find((each) => each !== volume && each.name === name);
    if (other !== undefined) {
      this.misfits.push(this.seq);
      other.name = undefined;
    }
    volume.name = name;
    this.note(volume.id, 'name');
  }

  /** What is known, as a table: who lost his name gets one. */
  table(seq: number): RefTable {
    const taken = new Set([...this.volumes.values()].map(({ name }) => name));
    const named = ({ id, name }: KnownVolume): string => {
      if (name !== undefined) return name;
      let digits = 8;
      while (taken.has(`recovered-${id.slice(0, digits)}`)) digits++;
      const free = `recovered-${id.slice(0, digits)}`;
      taken.add(free);
      return free;
    };
    const states = [...this.volumes.values()].map((volume): VolumeState => ({
      id: volume.id,
      name: named(volume),
      createdAtMs: volume.createdAtMs,
      ...(volume.ephemeralOwner === undefined ? {} : { ephemeralOwner: volume.ephemeralOwner }),
      generations: [...volume.generations].sort(([a], [b]) => a - b),
      tags: volume.tags,
    }));
    return { seq, volumes: new Map(states.map((state) => [state.id, state])) };
  }

  private create(change: Extract<RefChange, { type: 'volume-created' }>): void {
    if (this.volumes.has(change.volumeId)) return void this.misfits.push(this.seq);
    const volume = this.add(change.volumeId);
    volume.createdAtMs = change.createdAtMs;
    if (change.ephemeralOwner !== undefined) volume.ephemeralOwner = change.ephemeralOwner;
    this.name(volume, change.name);
    if (change.from === undefined) return;
    const { volumeId, generation: last } = change.from;
    const origin = this.existing(volumeId);
    volume.floor = Math.min(origin.floor, last);
    for (const generation of origin.pruned) volume.pruned.add(generation);
    for (const [generation, snapshot] of origin.generations) {
      if (generation > last) continue;
      volume.generations.set(generation, snapshot);
      this.since.set(`${volume.id} generation ${generation}`, this.sinceOf(volumeId, `generation ${generation}`));
    }
    if (volume.generations.has(last)) return;
    // Where the origin is a fork itself, what it began with is of the volume that it came from.
    const isOlder = origin.began !== undefined && last <= origin.began.generation;
    volume.began = isOlder ? { volumeId: origin.began!.volumeId, generation: last } : change.from;
  }

  private existing(id: VolumeId): KnownVolume {
    const volume = this.volumes.get(id);
    if (volume !== undefined) return volume;
    this.misfits.push(this.seq);
    return this.add(id);
  }

  private note(volume: VolumeId, what: string): void {
    this.since.set(`${volume} ${what}`, this.seq);
  }
}

/** The newest generation; 0 before the first. */
export function headOf({ generations }: KnownVolume): number {
  return Math.max(0, ...generations.keys());
}
