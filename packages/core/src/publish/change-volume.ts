import { AlreadyExistsError, SnapshotNotFoundError, VolumeExistsError, VolumeNotFoundError } from '../errors.js';
import { digestFromHex, digestsEqual, digestToHex } from '../hash/digest.js';
import type { IndexReader } from '../index/reader.js';
import type { VolumeRecord } from '../index/records.js';
import { changeRefs } from './change-refs.js';
import type { RefChange } from '../refs/ref-table.js';
import type { ChangeChecks, ChangeOutcome, VolumeChange } from './messages.js';
import type { RefParts } from './parts.js';

type UncheckedChange = Exclude<RefChange, { type: 'head' | 'restored' }>;

/** Changes that take something away: they have to work on a full disk, too. */
const FREEING: ReadonlySet<VolumeChange['type']> = new Set(['volume-deleted', 'untag', 'prune']);

/**
 * Changes names, tags or histories, all but commits; what may be changed is decided under the write lock.
 * @throws VolumeNotFoundError, VolumeExistsError, SnapshotNotFoundError, AlreadyExistsError (`CAIRN_TAG_EXISTS`)
 */
export function changeVolume(parts: RefParts, change: VolumeChange, checks: ChangeChecks): ChangeOutcome {
  const work = (): ChangeOutcome => changeUnderLock(parts, change, checks);
  return FREEING.has(change.type) ? parts.reserve.spentOn(work) : work();
}

function changeUnderLock(parts: RefParts, change: VolumeChange, checks: ChangeChecks): ChangeOutcome {
  const exact = withOwner(parts, change);
  return changeRefs(parts, ({ reader, record }) => {
    const applied = checked(reader, exact, checks);
    if (applied !== null) record(applied);
    return { volume: volumeAfter(reader, change), applied };
  });
}

/** An ephemeral volume belongs to this engine's lease, which is there by now. */
function withOwner(parts: RefParts, change: VolumeChange): UncheckedChange {
  if (change.type !== 'volume-created') return change;
  const { ephemeral, ...created } = change;
  if (ephemeral !== true) return created;
  return { ...created, ephemeralOwner: parts.lease };
}

function volumeAfter(reader: IndexReader, change: VolumeChange): VolumeRecord | undefined {
  const volume = reader.volumeById(change.volumeId);
  return volume === undefined && change.type === 'volume-created' ? reader.volumeByName(change.name) : volume;
}

/** The change to write, in its exact form; null: there is nothing to do. */
function checked(reader: IndexReader, change: UncheckedChange, checks: ChangeChecks): RefChange | null {
  switch (change.type) {
    case 'volume-created':
      return checkedCreation(reader, change, checks);
    case 'volume-deleted':
      if (reader.volumeById(change.volumeId) !== undefined) return change;
      if (checks.allowMissing === true) return null;
      throw new VolumeNotFoundError(checks.label ?? change.volumeId);
    case 'volume-renamed': {
      if (existing(reader, change, checks).name === change.name) return null;
      if (reader.volumeByName(change.name) !== undefined) throw new VolumeExistsError(change.name);
      return change;
    }
    case 'tag':
      return checkedTag(reader, change, checks);
    case 'untag':
      existing(reader, change, checks);
      if (reader.tag(change.volumeId, change.tag) !== undefined) return change;
      if (checks.allowMissing === true) return null;
      throw new SnapshotNotFoundError(change.tag);
    case 'prune':
      return checkedPrune(reader, change, checks);
  }
}

function existing(reader: IndexReader, change: UncheckedChange, checks: ChangeChecks): VolumeRecord {
  const volume = reader.volumeById(change.volumeId);
  if (volume === undefined) throw new VolumeNotFoundError(checks.label ?? change.volumeId);
  return volume;
}

function checkedCreation(
  reader: IndexReader,
  change: Extract<RefChange, { type: 'volume-created' }>,
  checks: ChangeChecks,
): RefChange | null {
  if (change.name !== '' && reader.volumeByName(change.name) !== undefined) {
    if (checks.allowExisting === true) return null;
    throw new VolumeExistsError(change.name);
  }
  if (change.from === undefined) return change;
  const { volumeId, generation } = change.from;
  if (reader.volumeById(volumeId) === undefined) throw new VolumeNotFoundError(checks.label ?? volumeId);
  if (generation === 0) return change;
  const [step] = reader.generations(volumeId, { from: generation });
  if (step?.generation !== generation) throw new SnapshotNotFoundError(`generation ${generation}`);
  return change;
}

function checkedTag(reader: IndexReader, change: Extract<RefChange, { type: 'tag' }>, checks: ChangeChecks): RefChange | null {
  existing(reader, change, checks);
  const snapshot = digestFromHex(change.snapshot);
  if (reader.generationOf(change.volumeId, snapshot) === undefined) throw new SnapshotNotFoundError(change.snapshot);
  const current = reader.tag(change.volumeId, change.tag);
  if (current === undefined) return change;
  if (digestsEqual(current, snapshot)) return null;
  if (checks.force === true) return change;
  throw new AlreadyExistsError('CAIRN_TAG_EXISTS', `the tag '${change.tag}' names another snapshot already`, {
    hint: 'choose another tag, or pass force (-f) to move it',
  });
}

/** The head and tagged snapshots stay, whatever happened since the caller looked. */
function checkedPrune(reader: IndexReader, change: Extract<RefChange, { type: 'prune' }>, checks: ChangeChecks): RefChange | null {
  const volume = existing(reader, change, checks);
  const tagged = new Set(reader.tags(change.volumeId).map((tag) => digestToHex(tag.snapshot)));
  const generations = [...new Set(change.generations)].filter((generation) => {
    const [step] = reader.generations(change.volumeId, { from: generation });
    return step?.generation === generation && generation !== volume.generation && !tagged.has(digestToHex(step.snapshot));
  });
  return generations.length === 0 ? null : { ...change, generations };
}
