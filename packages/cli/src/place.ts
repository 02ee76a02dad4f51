import { UsageError } from './errors.js';

/** Where something is: `VOL[@REF][:/PATH]`, the one way in which commands name places in a store. */
export interface Place {
  volume: string;
  /** A tag, an id or its prefix, `HEAD~n` or a date; undefined is the newest snapshot. */
  ref?: string;
  /** Begins with `/`. */
  path?: string;
}

const GRAMMAR = 'places are written VOL[@REF][:/PATH], such as llama, llama@v1 or llama@HEAD~1:/config.json';

/** The first `:/` begins the path, so that dates (`VOL@2026-01-31T10:00:00Z`) need no quoting. Names and refs are judged by the library. */
export function parsePlace(text: string): Place {
  const colon = text.indexOf(':/');
  const left = colon < 0 ? text : text.slice(0, colon);
  const at = left.indexOf('@');
  const volume = at < 0 ? left : left.slice(0, at);
  if (volume === '') throw new UsageError(`'${text}' names no volume`, GRAMMAR);
  const place: Place = { volume };
  if (at >= 0) {
    place.ref = left.slice(at + 1);
    if (place.ref === '') throw new UsageError(`'${text}' has an empty ref`, GRAMMAR);
  }
  if (colon >= 0) place.path = text.slice(colon + 1);
  return place;
}

/** A place where something is to be changed: history cannot be, so it has no ref. */
export function parseTarget(text: string): Place {
  const place = parsePlace(text);
  if (place.ref !== undefined) {
    throw new UsageError(
      `'${text}' is a version, and versions never change`,
      `name the volume alone: ${place.volume}; 'cairn rollback ${place.volume}@${place.ref}' brings an old version back`,
    );
  }
  return place;
}

/** The path of a command that takes it either in the place or as an argument of its own. */
export function onePath(place: Place, argument: string | undefined, fallback?: string): string {
  if (place.path !== undefined && argument !== undefined) {
    throw new UsageError(`two paths: '${place.path}' and '${argument}'`, 'give the path once, in the place or after it');
  }
  const path = place.path ?? argument ?? fallback;
  if (path === undefined)
    throw new UsageError('no path given', `name it after the volume: ${place.volume} PATH, or as ${place.volume}:/PATH`);
  return withoutTrailingSlash(path);
}

/** Shells complete folders as `models/`. */
export function withoutTrailingSlash(path: string): string {
  return path.replace(/(?<=[^/])\/+$/, '');
}
