import { UsageError } from './errors.js';
import { parsePlace, parseTarget, type Place } from './place.js';

/** What looks like `VOL:/PATH` or `VOL@REF:/PATH`; a path with such a name is written with a `/` before it. */
const FULL_PLACE = /^[A-Za-z0-9_][A-Za-z0-9._-]*(@[^:/]*(:[^/][^:/]*)*)?:\//;

export type Source = Place & { path: string };

/** What `cp` and `mv` will take from where to where: `VOL SRC… DST`, or full places throughout. */
export function planTransfer(first: string, others: string[]): { sources: Source[]; target: { volume: string; path: string } } {
  const home = parsePlace(first);
  const isSource = home.path !== undefined;
  const words = isSource ? [first, ...others] : others;
  const [last, ...sources] = words.toReversed();
  if (last === undefined || sources.length === 0)
    throw new UsageError('what and where to?', 'write VOL SRC… DST, or VOL[@REF]:/SRC… VOL:/DST');
  if (isSource && !FULL_PLACE.test(last))
    throw new UsageError(`'${last}' names no volume`, `write where to as a place, too: ${home.volume}:/${last.replace(/^\/+/, '')}`);
  const { volume, path } = FULL_PLACE.test(last) ? parseTarget(last) : { volume: parseTarget(first).volume, path: last };
  return {
    sources: sources.toReversed().map((word) => (FULL_PLACE.test(word) ? (parsePlace(word) as Source) : { ...home, path: word })),
    target: { volume, path: path ?? last },
  };
}
