import { contentEquals, type ContentRef } from '../content/content-ref.js';
import { digestsEqual, type Digest } from '../hash/digest.js';

export interface FileNode {
  readonly type: 'file';
  readonly executable: boolean;
  readonly mtimeNs: bigint;
  readonly content: ContentRef;
}

export interface DirectoryNode {
  readonly type: 'directory';
  readonly mtimeNs: bigint;
}

/** `target` is kept as it was given, and never followed. */
export interface SymlinkNode {
  readonly type: 'symlink';
  readonly mtimeNs: bigint;
  readonly target: string;
}

/** What a path of a volume is. `mtimeNs`: modification time in nanoseconds since 1970, of 64 bits. */
export type Entry = FileNode | DirectoryNode | SymlinkNode;

/** The digest of a manifest's top node, or null for a volume with nothing in it. Equal trees have equal roots. */
export type ManifestRoot = Digest | null;

export function sameRoot(a: ManifestRoot, b: ManifestRoot): boolean {
  return a === null || b === null ? a === b : digestsEqual(a, b);
}

/** Whether two entries are the same version of a path: type, content, mode and target, but not the modification time. */
export function sameEntry(a: Entry | undefined, b: Entry | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  switch (a.type) {
    case 'file':
      return b.type === 'file' && a.executable === b.executable && contentEquals(a.content, b.content);
    case 'directory':
      return b.type === 'directory';
    case 'symlink':
      return b.type === 'symlink' && a.target === b.target;
  }
}
