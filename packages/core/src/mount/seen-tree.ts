import { diffManifests } from '../manifest/diff.js';
import { editManifest } from '../manifest/edit.js';
import type { Entry, ManifestRoot } from '../manifest/entry.js';
import { getEntry, listFolder, walkTree } from '../manifest/read.js';
import type { NodeSink, NodeSource } from '../objects/node-store.js';
import { ancestorsOf, joinPath } from '../volume/paths.js';

/** A path of the mount that differs between two trees. */
export interface FolderChange {
  path: string;
  before?: Entry;
  after?: Entry;
}

export type Edits = ReadonlyMap<string, Entry | null>;

/** What a mount shows of its volume: the trees below `subPath`, with paths relative to it. */
export class Window {
  readonly subPath: string;
  private readonly nodes: NodeSource & NodeSink;

  constructor(nodes: NodeSource & NodeSink, subPath: string) {
    this.nodes = nodes;
    this.subPath = subPath;
  }

  get(root: ManifestRoot, path: string): Entry | undefined {
    return getEntry(this.nodes, root, this.outer(path));
  }

  /** The children of a folder by name. */
  children(root: ManifestRoot, folder: string): Map<string, Entry> {
    const found = new Map<string, Entry>();
    const prefix = this.outer(folder);
    const skip = prefix === '' ? 0 : prefix.length + 1;
    for (const [path, entry] of listFolder(this.nodes, root, prefix)) found.set(path.slice(skip), entry);
    return found;
  }

  *walk(root: ManifestRoot, folder: string): Generator<[string, Entry]> {
    for (const [path, entry] of walkTree(this.nodes, root, this.outer(folder))) yield [this.inner(path), entry];
  }

  /** What differs in the window, folders before what is in them. */
  *diff(from: ManifestRoot, to: ManifestRoot): Generator<FolderChange> {
    for (const change of diffManifests(this.nodes, from, to)) {
      if (this.subPath === '' || change.path.startsWith(`${this.subPath}/`)) yield { ...change, path: this.inner(change.path) };
    }
  }

  /** The tree with these entries of the window set, and the folders above the window in place. */
  edit(root: ManifestRoot, edits: Edits): ManifestRoot {
    if (edits.size === 0) return root;
    const all = new Map<string, Entry | null>();
    const above = this.subPath === '' ? [] : [...ancestorsOf(this.subPath), this.subPath];
    for (const folder of above) {
      if (getEntry(this.nodes, root, folder)?.type !== 'directory') all.set(folder, { type: 'directory', mtimeNs: 0n });
    }
    for (const [path, entry] of edits) all.set(this.outer(path), entry);
    return editManifest(this.nodes, this.nodes, root, all);
  }

  /** A path of the mount as one of the volume. */
  outer(path: string): string {
    return path === '' ? this.subPath : joinPath(this.subPath, path);
  }

  /** The inverse of `outer`; paths beside the window stay as they are. */
  inner(path: string): string {
    return this.subPath !== '' && path.startsWith(`${this.subPath}/`) ? path.slice(this.subPath.length + 1) : path;
  }
}
