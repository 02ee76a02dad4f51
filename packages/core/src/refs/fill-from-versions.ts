import type { DigestHex } from '../hash/digest.js';
import { headOf, type KnownVolume, type LenientReplay } from './lenient-replay.js';
import type { VolumeId } from './ref-table.js';

/** What a snapshot record in a pack tells of itself. */
export interface Version {
  readonly id: DigestHex;
  readonly volumeId: VolumeId;
  readonly generation: number;
  /** The head that it replaced. */
  readonly parent: DigestHex | null;
  readonly createdAtMs: number;
}

/** What snapshot records made up for. */
export interface Filled {
  /** Versions that are in histories again. */
  readonly found: Version[];
  /** Where changes stay missing: versions in no history. They may have been in one, or never, or have been deleted. */
  readonly unplaced: Version[];
  /** How many missing changes they account for. */
  readonly changes: number;
}

/**
 * Fills holes of histories from snapshot records: what a known version replaced was a head; what replaces a known head, alone, and
 * within the number of changes that are missing, is taken for its successor; a volume of which nothing is known but such a line
 * comes back as a whole. Where there are more candidates than missing changes nothing is guessed.
 */
export function fillFromVersions(replay: LenientReplay, versions: Iterable<Version>, missing: number): Filled {
  return new Filling(replay, versions).fill(missing);
}

class Filling {
  private readonly replay: LenientReplay;
  private readonly byId = new Map<DigestHex, Version>();
  private readonly byVolume = new Map<VolumeId, Version[]>();
  private readonly found = new Set<Version>();

  constructor(replay: LenientReplay, versions: Iterable<Version>) {
    this.replay = replay;
    for (const version of versions) {
      this.byId.set(version.id, version);
      const siblings = this.byVolume.get(version.volumeId);
      if (siblings === undefined) this.byVolume.set(version.volumeId, [version]);
      else siblings.push(version);
    }
  }

  fill(missing: number): Filled {
    for (const volume of this.replay.volumes.values()) this.fillBegin(volume);
    for (const volume of this.replay.volumes.values()) this.fillBetween(volume);
    let left = missing - this.found.size;
    const tips = [...this.replay.volumes.values()].map((volume) => ({ volume, line: this.successors(volume) }));
    const lost = this.lostVolumes();
    // One change for each version that is not found yet, and one that made a volume.
    const cost = (some: readonly { line: Version[] }[], each: number): number =>
      some.reduce((sum, { line }) => sum + line.filter((version) => !this.found.has(version)).length + each, 0);
    const forTips = cost(tips, 0);
    if (forTips <= left) {
      for (const { volume, line } of tips) for (const version of line) this.put(volume, version);
      left -= forTips;
    }
    const forVolumes = cost(lost, 1);
    if (forVolumes <= left) {
      for (const { line } of lost) {
        const volume = this.replay.add(line[0]!.volumeId);
        volume.createdAtMs = line[0]!.createdAtMs;
        for (const version of line) this.put(volume, version);
      }
      left -= forVolumes;
    }
    return { found: [...this.found], unplaced: left > 0 ? this.unplaced() : [], changes: missing - Math.max(0, left) };
  }

  /** A fork begins with a version of its origin; which one, its generation tells. */
  private fillBegin(volume: KnownVolume): void {
    const { began } = volume;
    if (began === undefined || volume.generations.has(began.generation) || volume.pruned.has(began.generation)) return;
    const candidates = (this.byVolume.get(began.volumeId) ?? []).filter(({ generation }) => generation === began.generation);
    if (candidates.length === 1) this.put(volume, candidates[0]!);
  }

  /** Versions replaced by known ones, as far back as the history is not known for certain. */
  private fillBetween(volume: KnownVolume): void {
    for (const known of [...volume.generations.values()]) {
      for (let version = this.replacedBy(volume, known); version !== undefined; version = this.replacedBy(volume, version.id)) {
        this.put(volume, version);
      }
    }
  }

  private replacedBy(volume: KnownVolume, id: DigestHex): Version | undefined {
    const version = this.byId.get(id);
    const parent = version === undefined || version.parent === null ? undefined : this.byId.get(version.parent);
    if (version === undefined || parent === undefined || parent.generation !== version.generation - 1) return undefined;
    const isKnown = parent.generation <= volume.floor || volume.pruned.has(parent.generation) || volume.generations.has(parent.generation);
    return isKnown ? undefined : parent;
  }

  /** What came after a volume's head, as far as only one version can have. */
  private successors(volume: KnownVolume): Version[] {
    const all = this.byVolume.get(volume.id) ?? [];
    const last = Math.max(headOf(volume), ...volume.pruned);
    return lineFrom(all, last, last === 0 ? null : volume.generations.get(last));
  }

  /** Volumes that no change and no index tells of: each must be one line from its first version on. */
  private lostVolumes(): { line: Version[] }[] {
    return [...this.byVolume]
      .filter(([id]) => !this.replay.volumes.has(id) && !this.replay.deleted.has(id))
      .map(([, all]) => {
        const first = all.reduce((a, b) => (a.generation <= b.generation ? a : b));
        const line = lineFrom(all, first.generation - 1, first.parent);
        return { line: line.length === all.length ? line : [] };
      })
      .filter(({ line }) => line.length > 0);
  }

  private unplaced(): Version[] {
    const placed = new Set([...this.replay.volumes.values()].flatMap(({ generations }) => [...generations.values()]));
    return [...this.byId.values()].filter(({ id }) => !placed.has(id));
  }

  private put(volume: KnownVolume, version: Version): void {
    this.replay.put(volume, version.generation, version.id);
    this.found.add(version);
  }
}

/** @param head what the first one replaced; undefined: not known */
function lineFrom(all: readonly Version[], generation: number, head: DigestHex | null | undefined): Version[] {
  const byGeneration = new Map<number, Version[]>();
  for (const version of all) byGeneration.set(version.generation, [...(byGeneration.get(version.generation) ?? []), version]);
  const line: Version[] = [];
  for (let at = generation, parent = head; ; at++) {
    const next = (byGeneration.get(at + 1) ?? []).filter((version) => parent === undefined || version.parent === parent);
    if (next.length !== 1) return line;
    line.push(next[0]!);
    parent = next[0]!.id;
  }
}
