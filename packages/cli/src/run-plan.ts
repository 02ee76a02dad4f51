import { UsageError } from './errors.js';
import { parsePlace } from './place.js';

/** A volume that `run` mounts. */
export interface RunVolume {
  volume: string;
  ref?: string;
  subPath?: string;
  dir: string;
  readOnly: boolean;
}

const GRAMMAR = 'write --volume VOL[@REF][:/FOLDER]=DIR, with :ro after it for reading only';

/** Gathers `--volume VOL[@REF]=DIR[:ro]` options. */
export function addRunVolume(text: string, others: RunVolume[] = []): RunVolume[] {
  const equals = text.indexOf('=');
  if (equals < 1) throw new UsageError(`'${text}' does not say where`, GRAMMAR);
  const { volume, ref, path } = parsePlace(text.slice(0, equals));
  const readOnly = text.endsWith(':ro');
  const dir = text.slice(equals + 1, readOnly ? -':ro'.length : undefined);
  if (dir === '') throw new UsageError(`'${text}' names no folder`, GRAMMAR);
  return [...others, { volume, ...(ref === undefined ? {} : { ref }), ...(path === undefined ? {} : { subPath: path }), dir, readOnly }];
}

/** Seconds, as they are typed, in milliseconds. */
export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (!(seconds > 0) || !Number.isFinite(seconds)) throw new UsageError(`'${text}' is no number of seconds`, 'write --interval 30');
  return seconds * 1000;
}
