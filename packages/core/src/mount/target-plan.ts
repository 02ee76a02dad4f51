import type { Entry, ManifestRoot } from '../manifest/entry.js';
import { InvalidPathError } from '../errors.js';
import { LocalNames } from '../volume/local-names.js';
import { ancestorsOf } from '../volume/paths.js';
import { isReserved } from './places.js';
import type { FolderChange, Window } from './seen-tree.js';

/** What a version changes in the folder. @throws InvalidPathError for paths that may not be made there. */
export function changesTo(window: Window, seen: ManifestRoot, target: ManifestRoot): FolderChange[] {
  const changes = [...window.diff(seen, target)];
  const names = new LocalNames((path) => (path === '' ? undefined : window.get(target, path)));
  for (const { path, after } of changes) {
    if (after === undefined) continue;
    names.check(path);
    if (isReserved(path)) throw new InvalidPathError(path, "'.cairn-mount' is the name of a mount's own files");
  }
  return changes;
}

/** The target without what it changes at some paths: those stay as they were seen, with the folders above them. */
export function withhold(window: Window, seen: ManifestRoot, target: ManifestRoot, paths: Iterable<string>): ManifestRoot {
  const edits = new Map<string, Entry | null>();
  for (const path of paths) {
    const before = window.get(seen, path);
    if (window.get(target, path)?.type === 'directory') for (const [below] of window.walk(target, path)) edits.set(below, null);
    edits.set(path, before ?? null);
    if (before === undefined) continue;
    for (const folder of ancestorsOf(path)) {
      if (window.get(target, folder)?.type !== 'directory') edits.set(folder, window.get(seen, folder) ?? null);
    }
  }
  return window.edit(target, edits);
}
