import { InvalidArgumentError, isCairnError, SnapshotNotFoundError } from '../errors.js';
import type { Digest } from '../hash/digest.js';
import { digestFromHex, digestToHex } from '../hash/digest.js';
import type { Ref } from '../types.js';
import type { History } from './history.js';

const DATE = /^\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?$/;
const DAY_MS = 86_400_000;

/**
 * Resolves a ref within one volume to the id and generation of a surviving snapshot.
 * @throws SnapshotNotFoundError with the candidates where a prefix is ambiguous.
 */
export function resolveRef(history: History, ref: Ref): { generation: number; id: Digest } {
  if (ref instanceof Date) return atTime(history, knownTime(ref.getTime(), String(ref)), String(ref));
  const back = /^HEAD(?:~(\d*))?$/.exec(ref);
  if (back) return stepsBack(history, back[1] === undefined ? 0 : back[1] === '' ? 1 : Number(back[1]), ref);
  const tagged = history.tag(ref);
  if (tagged !== undefined) return found(history, tagged, ref);
  if (/^[0-9a-f]{64}$/.test(ref)) return found(history, digestFromHex(ref), ref);
  if (/^[0-9a-f]{6,63}$/.test(ref)) return byPrefix(history, ref);
  if (DATE.test(ref)) {
    const day = ref.slice(0, 10);
    const midnight = knownTime(Date.parse(`${day}T00:00:00Z`), ref);
    // Date.parse takes the 30th of February for the 2nd of March.
    if (!new Date(midnight).toISOString().startsWith(day)) throw noSuchDate(ref);
    return atTime(history, ref === day ? midnight + DAY_MS - 1 : knownTime(Date.parse(ref), ref), ref);
  }
  throw new SnapshotNotFoundError(ref);
}

function found(history: History, id: Digest, ref: string): { generation: number; id: Digest } {
  const generation = history.generationOf(id);
  if (generation === undefined) throw new SnapshotNotFoundError(ref);
  return { generation, id };
}

function byPrefix(history: History, prefix: string): { generation: number; id: Digest } {
  const matches = history.byPrefix(prefix);
  const ids = [...new Set(matches.map((match) => digestToHex(match.id)))];
  if (ids.length > 1) throw new SnapshotNotFoundError(prefix, ids);
  const match = matches[0];
  if (match === undefined) throw new SnapshotNotFoundError(prefix);
  return match;
}

function stepsBack(history: History, steps: number, ref: string): { generation: number; id: Digest } {
  let left = steps;
  for (const step of history.newestFirst()) if (left-- === 0) return step;
  throw new SnapshotNotFoundError(ref);
}

function knownTime(timeMs: number, ref: string): number {
  if (Number.isNaN(timeMs)) throw noSuchDate(ref);
  return timeMs;
}

function noSuchDate(ref: string): InvalidArgumentError {
  return new InvalidArgumentError(`no such date: '${ref}'`, 'write it as 2026-01-31 or 2026-01-31T12:00:00Z');
}

/**
 * The newest snapshot made at or before a moment. A damaged one does not tell when it was made: it is passed over when the one
 * before it is too young as well, and else it may be the very one that is meant.
 * @throws DamageError then
 */
function atTime(history: History, timeMs: number, ref: string): { generation: number; id: Digest } {
  let inDoubt: Error | undefined;
  for (const step of history.newestFirst()) {
    try {
      const isYounger = history.record(step.id).createdAtMs > timeMs;
      if (!isYounger && inDoubt === undefined) return step;
      if (!isYounger) break;
      inDoubt = undefined;
    } catch (error) {
      if (!isCairnError(error, 'CAIRN_DAMAGED')) throw error;
      inDoubt = error;
    }
  }
  throw inDoubt ?? new SnapshotNotFoundError(ref);
}
