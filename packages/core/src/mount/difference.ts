import type { Entry } from '../manifest/entry.js';
import { parentOf } from '../volume/paths.js';
import type { Candidate } from './scan.js';

/** Paths that differ from what a folder held: files and symlinks, and folders that came or went with nothing in them. */
export interface FolderDifference {
  added: string[];
  modified: string[];
  removed: string[];
  /** Changed files that somebody has open for writing. */
  busy: string[];
}

export function differenceOf(
  edits: ReadonlyMap<string, Entry | null>,
  changed: Iterable<Candidate>,
  look: { before: (path: string) => Entry | undefined; written: (file: Candidate) => boolean },
): FolderDifference {
  const added: string[] = [];
  const modified: string[] = [];
  const removed: string[] = [];
  const busy: string[] = [];
  const sort = (path: string, before: Entry | undefined, isThere: boolean): void =>
    void (before === undefined ? added : isThere ? modified : removed).push(path);
  for (const [path, entry] of edits) sort(path, look.before(path), entry !== null);
  for (const file of changed) {
    sort(file.name, file.before, true);
    if (look.written(file)) busy.push(file.name);
  }
  const notable = (paths: string[]): string[] => {
    const parents = new Set(paths.map(parentOf));
    return paths.filter((path) => !parents.has(path)).sort();
  };
  return { added: notable(added), modified: modified.sort(), removed: notable(removed), busy: busy.sort() };
}
